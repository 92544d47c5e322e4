// SPDX-License-Identifier: Apache-2.0
// `emu doctor [--json]`: what this host has for a guest, and what to do about what it has not.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/types.h"

namespace emu::cli {

// One thing looked at. kOff is something that nothing here needs.
struct HostCheck {
  enum class State : u8 { kOk, kOff, kProblem };
  std::string name;
  State state = State::kOk;
  std::string text;  // what was found
  std::string fix;   // what to do; empty if there is nothing to do
};

// Looks at everything. Never fails; takes less than a second.
[[nodiscard]] std::vector<HostCheck> check_host();
// A table for people, or JSON for programs.
[[nodiscard]] std::string describe_checks(const std::vector<HostCheck>& checks, bool json);
// Prints the checks. Exit status: 0 all is well, 1 something is to be fixed, 2 bad arguments.
[[nodiscard]] int run_doctor(std::span<const std::string> arguments);

}  // namespace emu::cli
