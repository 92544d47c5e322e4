// SPDX-License-Identifier: Apache-2.0
// The network of passt(1), a program of its own that passes connections on without rights and
// without translating addresses. Frames go over a socket to it as to any other machine.
// Source: passt(1), options --fd, --foreground, --tcp-ports, --udp-ports; qemu(1), -netdev stream.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "net/net_backend.h"
#include "net/net_options.h"

namespace emu {

struct PasstConfig {
  std::string program = "passt";
  std::vector<std::string> arguments;

  // "tcp-ports=2222:22", "udp-ports=", "mtu=", "path=PROGRAM".
  [[nodiscard]] static Result<PasstConfig> parse(const NetOptions& options);
};

// Starts passt and connects to it; it ends when the network does. Errors: it is not installed, or
// it refuses.
[[nodiscard]] Result<std::unique_ptr<NetBackend>> open_passt(const PasstConfig& config,
                                                             std::mutex& machine_lock);

}  // namespace emu
