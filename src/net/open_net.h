// SPDX-License-Identifier: Apache-2.0
// From what the user wrote to a working backend.
#pragma once

#include <memory>
#include <mutex>

#include "base/result.h"
#include "net/hub.h"
#include "net/net_backend.h"
#include "net/net_options.h"

namespace emu {

// Opens the network; see check_net_options() for what it understands. The lock is the machine's;
// the hubs are those that its cards share, and grow by the ones that are named first here.
// Errors: what the host refuses, with the remedy.
[[nodiscard]] Result<std::unique_ptr<NetBackend>> open_net(const NetOptions& options,
                                                           std::mutex& machine_lock, Hubs& hubs);
// The same for a network that shares no hub.
[[nodiscard]] Result<std::unique_ptr<NetBackend>> open_net(const NetOptions& options,
                                                           std::mutex& machine_lock);

}  // namespace emu
