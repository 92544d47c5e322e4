// SPDX-License-Identifier: Apache-2.0
// From what the user wrote to a working backend.
#pragma once

#include <memory>
#include <mutex>

#include "base/result.h"
#include "net/net_backend.h"
#include "net/net_options.h"

namespace emu {

// Opens the network; see check_net_options() for what it understands. The lock is the machine's.
// Errors: what the host refuses, with the remedy.
[[nodiscard]] Result<std::unique_ptr<NetBackend>> open_net(const NetOptions& options,
                                                           std::mutex& machine_lock);

}  // namespace emu
