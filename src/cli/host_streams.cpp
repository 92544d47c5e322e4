// SPDX-License-Identifier: Apache-2.0
#include "cli/host_streams.h"

#include "ui/file_char.h"

namespace emu::cli {

Result<std::unique_ptr<HostStreams>> HostStreams::open(const MachineConfig& config) {
  auto streams = std::make_unique<HostStreams>();
  auto serial = streams->open_one(config.serial);
  if (!serial) return serial.error();
  streams->serial_ = std::move(*serial);
  if (config.debug_console.kind != SerialKind::kNone) {
    auto console = streams->open_one(config.debug_console);
    if (!console) return console.error();
    streams->debug_console_ = std::move(*console);
  }
  return streams;
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
}

void HostStreams::stop() {
  if (stdio_ != nullptr) stdio_->stop();
}

void HostStreams::continued() {
  if (stdio_ != nullptr) stdio_->continued();
}

}  // namespace emu::cli
