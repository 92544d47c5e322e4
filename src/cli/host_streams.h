// SPDX-License-Identifier: Apache-2.0
// The host's ends of the machine's byte streams, as the configuration wants them.
#pragma once

#include <memory>

#include "base/result.h"
#include "devices/ports/character.h"
#include "machine/machine_config.h"
#include "ui/monitor/monitor_socket.h"
#include "ui/serial_view.h"
#include "ui/stdio_char.h"

namespace emu::cli {

class HostStreams {
 public:
  // Errors: a file that cannot be written.
  [[nodiscard]] static Result<std::unique_ptr<HostStreams>> open(const MachineConfig& config);

  [[nodiscard]] CharBackend& serial() { return *serial_; }
  // The serial port, if a window shows it; else null.
  [[nodiscard]] SerialView* serial_view() { return serial_view_; }
  [[nodiscard]] CharBackend* debug_console() { return debug_console_.get(); }
  // Starts and stops reading standard input, if a stream is on it, and the monitor.
  void start(MachineControl& control);
  void stop();
  // After SIGCONT.
  void continued();

 private:
  [[nodiscard]] Result<void> open_monitor(const std::string& where);
  [[nodiscard]] Result<std::unique_ptr<CharBackend>> open_one(const CharConfig& config);

  std::unique_ptr<CharBackend> serial_;
  std::unique_ptr<CharBackend> debug_console_;
  std::unique_ptr<CharBackend> monitor_;  // alone on standard input and output
  std::unique_ptr<MonitorSocket> monitor_socket_;
  SerialView* serial_view_ = nullptr;
  StdioChar* stdio_ = nullptr;
};

}  // namespace emu::cli
