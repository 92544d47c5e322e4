// SPDX-License-Identifier: Apache-2.0
// The monitor on a Unix socket, for scripts: one client after the other.
// Source: unix(7). The socket's file belongs to this user alone (mode 0600).
// Threads: an own one; start() and stop() from the main thread.
#pragma once

#include <memory>
#include <string>
#include <thread>

#include "base/result.h"
#include "base/unique_fd.h"
#include "machine/control.h"

namespace emu {

class MonitorSocket {
 public:
  // Listens on `path`. Errors: a path that is too long, or where something is already.
  [[nodiscard]] static Result<std::unique_ptr<MonitorSocket>> create(const std::string& path);
  // stop()s and removes the file.
  ~MonitorSocket();
  MonitorSocket(const MonitorSocket&) = delete;
  MonitorSocket& operator=(const MonitorSocket&) = delete;

  // Serves clients; `control` must outlive the object or stop().
  void start(MachineControl& control);
  void stop();

 private:
  MonitorSocket(std::string path, UniqueFd listener, UniqueFd wake);
  void serve(MachineControl& control);
  void serve_client(MachineControl& control, int client);
  // Waits for `fd` to be readable; false: stop() was called.
  [[nodiscard]] bool wait(int fd);

  const std::string path_;
  const UniqueFd listener_;
  const UniqueFd wake_;
  std::thread thread_;
};

}  // namespace emu
