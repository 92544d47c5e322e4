// SPDX-License-Identifier: Apache-2.0
#include "cli/banner.h"

#include "cli/network_options.h"
#include "cli/option_values.h"

#ifndef EMU_VERSION
#define EMU_VERSION "0.1"
#endif

namespace emu::cli {
namespace {

std::string memory_words(u64 bytes) {
  return bytes % kGiB == 0 ? fmt::format("{} GiB", bytes / kGiB)
                           : fmt::format("{} MiB", bytes / kMiB);
}

std::string display_words(const MachineConfig& config) {
  switch (config.display) {
    case DisplayKind::kWindow:
      return "window";
    case DisplayKind::kTerminal:
      return "screen in this terminal";
    case DisplayKind::kAuto:
    case DisplayKind::kNone:
      break;
  }
  switch (config.serial.kind) {
    case SerialKind::kStdio:
      return "serial port in this terminal";
    case SerialKind::kFile:
      return "serial port to " + config.serial.path;
    case SerialKind::kNull:
    case SerialKind::kNone:
      break;
  }
  return config.vnc.empty() ? "no screen" : "screen for VNC clients at " + config.vnc;
}

}  // namespace

std::string banner(const MachineConfig& config, const std::vector<std::string>& drives,
                   const std::string& engine) {
  std::string out = "emu " EMU_VERSION " · pc";
  out += fmt::format(" · {} cpu{}", config.cpus, config.cpus == 1 ? "" : "s");
  out += " · " + memory_words(config.memory_bytes);
  if (!config.linux_boot.kernel.empty()) out += " · " + config.linux_boot.kernel;
  for (const std::string& drive : drives) out += " · " + drive;
  out += " · " + network_words(config) + " · " + display_words(config) + "\n";
  out += "engine: " + engine + "\n";
  return out;
}

}  // namespace emu::cli
