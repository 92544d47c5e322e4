// SPDX-License-Identifier: Apache-2.0
#include "cli/run_machine.h"

#include <cstdlib>

#include "base/log.h"
#include "cli/banner.h"
#include "cli/command_line.h"
#include "cli/host_streams.h"
#include "machine/machine.h"
#include "ui/headless.h"
#include "ui/host_signals.h"

namespace emu::cli {
namespace {

constexpr int kUsageError = 2;
constexpr int kRunError = 1;

void print_error(const std::string& message) {
  fmt::print(stderr, "emu: {}\n", message);
}

bool host_has_screen() {
  const auto set = [](const char* name) {
    const char* value = std::getenv(name);
    return value != nullptr && *value != '\0';
  };
  return set("DISPLAY") || set("WAYLAND_DISPLAY");
}

// Decides what "auto" means on this host.
MachineConfig resolve(MachineConfig config) {
  if (config.display == DisplayKind::kAuto) {
    if (host_has_screen()) {
      config.display = DisplayKind::kWindow;
    } else {
      config.display = DisplayKind::kNone;
      if (config.serial.kind == SerialKind::kNone) config.serial.kind = SerialKind::kStdio;
    }
  }
  return config;
}

std::unique_ptr<UserInterface> make_interface(const MachineConfig&) {
  return std::make_unique<HeadlessInterface>();
}

int run(const MachineConfig& config) {
  HostSignals signals;
  auto streams = HostStreams::open(config);
  if (!streams) {
    print_error(streams.error().message);
    return kRunError;
  }
  auto machine = Machine::create(config, {(*streams)->serial(), (*streams)->debug_console()});
  if (!machine) {
    print_error(machine.error().message);
    return kRunError;
  }
  if (!config.quiet) fmt::print(stderr, "{}", banner(config, (*machine)->describe_drives()));
  Machine& m = **machine;
  const auto interface = make_interface(config);
  signals.listen([&m](int) { m.request_quit(); }, [&streams] { (*streams)->continued(); });
  m.start();
  (*streams)->start(m);
  interface->run(m);
  (*streams)->stop();
  const MachineEnd end = m.end();
  if (config.print_counters) fmt::print(stderr, "{}", m.engine_counters());
  if (!end.message.empty()) print_error(end.message);
  return end.status;
}

}  // namespace

int run_program(std::span<const std::string> arguments) {
  auto line = parse_command_line(arguments);
  if (!line) {
    print_error(line.error().message);
    return kUsageError;
  }
  if (line->action == Action::kPrintText) {
    fmt::print("{}", line->text);
    return 0;
  }
  if (line->config.drives.empty() && line->config.linux_boot.kernel.empty() &&
      line->config.firmware.empty()) {
    print_error("nothing to start: name a disk image, --cdrom or --kernel; emu --help lists all");
    return kUsageError;
  }
  return run(resolve(line->config));
}

}  // namespace emu::cli
