// SPDX-License-Identifier: Apache-2.0
// Work in a process of its own: its memory is counted alone, its end is noticed, and nothing of it
// is left behind.
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "base/result.h"

namespace emu::cli::bench {

struct ChildEnd {
  std::string output;   // what the body returned
  double peak_mib = 0;  // most resident memory at once
};

// Runs `body` in a forked process; the caller has no other thread. Errors: the host's, a child that
// ends by a signal, or does not end within `limit` (it is then killed).
[[nodiscard]] Result<ChildEnd> run_in_child(const std::function<std::string()>& body,
                                            std::chrono::seconds limit);

}  // namespace emu::cli::bench
