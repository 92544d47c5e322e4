// SPDX-License-Identifier: Apache-2.0
#include "cli/host_streams.h"

#include "ui/file_char.h"

namespace emu::cli {

Result<std::unique_ptr<HostStreams>> HostStreams::open(const MachineConfig& config) {
  auto streams = std::make_unique<HostStreams>();
  if (config.serial.kind == SerialKind::kNone && config.display == DisplayKind::kWindow) {
    auto view = std::make_unique<SerialView>();
    streams->serial_view_ = view.get();
    streams->serial_ = std::move(view);
  } else {
    auto serial = streams->open_one(config.serial);
    if (!serial) return serial.error();
    streams->serial_ = std::move(*serial);
  }
  if (config.debug_console.kind != SerialKind::kNone) {
    auto console = streams->open_one(config.debug_console);
    if (!console) return console.error();
    streams->debug_console_ = std::move(*console);
  }
  EMU_TRY(streams->open_monitor(config.monitor));
  return streams;
}

Result<void> HostStreams::open_monitor(const std::string& where) {
  constexpr std::string_view kUnix = "unix:";
  if (where.starts_with(kUnix)) {
    auto socket = MonitorSocket::create(where.substr(kUnix.size()));
    if (!socket) return socket.error();
    monitor_socket_ = std::move(*socket);
  } else if (where == "stdio" && stdio_ == nullptr) {
    StdioChar::Options options;
    options.monitor_only = true;
    options.signals_to_guest = false;
    auto backend = std::make_unique<StdioChar>(options);
    stdio_ = backend.get();
    monitor_ = std::move(backend);
  }
  return {};
}

Result<std::unique_ptr<CharBackend>> HostStreams::open_one(const CharConfig& config) {
  if (config.kind == SerialKind::kStdio) {
    auto backend = std::make_unique<StdioChar>(StdioChar::Options{});
    stdio_ = backend.get();
    return std::unique_ptr<CharBackend>(std::move(backend));
  }
  if (config.kind == SerialKind::kFile) {
    auto backend = FileChar::create(config.path);
    if (!backend) return backend.error();
    return std::unique_ptr<CharBackend>(std::move(*backend));
  }
  return std::unique_ptr<CharBackend>(std::make_unique<NullChar>());
}

void HostStreams::start(MachineControl& control) {
  if (stdio_ != nullptr) stdio_->start(control);
  if (monitor_socket_) monitor_socket_->start(control);
}

void HostStreams::stop() {
  if (monitor_socket_) monitor_socket_->stop();
  if (stdio_ != nullptr) stdio_->stop();
}

void HostStreams::continued() {
  if (stdio_ != nullptr) stdio_->continued();
}

}  // namespace emu::cli
