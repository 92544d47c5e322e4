// SPDX-License-Identifier: Apache-2.0
#include "cli/run_machine.h"

#include "base/log.h"
#include "cli/banner.h"
#include "cli/bench/bench.h"
#include "cli/command_line.h"
#include "cli/doctor/doctor.h"
#include "cli/host_sound.h"
#include "cli/host_streams.h"
#include "cli/img/commands.h"
#include "machine/machine.h"
#include "machine/snapshot_file.h"
#include "ui/headless.h"
#include "ui/host_signals.h"
#include "ui/recorder.h"
#include "ui/screenshot.h"
#include "ui/sdl/sdl_window.h"
#include "ui/terminal/terminal_view.h"
#include "ui/vnc/vnc_server.h"

namespace emu::cli {
namespace {

constexpr int kUsageError = 2;
constexpr int kRunError = 1;

void print_error(const std::string& message) {
  fmt::print(stderr, "emu: {}\n", message);
}

// Settles what "auto" means on this host: a window, or else the serial port in this terminal.
// `notice` is what to tell the user, once the machine stands.
std::unique_ptr<UserInterface> open_automatic(MachineConfig& config, std::string& notice) {
  std::string reason = "no display here (DISPLAY and WAYLAND_DISPLAY are not set)";
  if (has_graphical_display()) {
    auto window = open_sdl_window({config.full_screen});
    if (window) {
      config.display = DisplayKind::kWindow;
      return std::move(*window);
    }
    reason = window.error().message;
  }
  config.display = DisplayKind::kNone;
  if (config.serial.kind == SerialKind::kNone && config.debug_console.kind != SerialKind::kStdio) {
    config.serial.kind = SerialKind::kStdio;
    reason += "; the guest's serial port is in this terminal, Ctrl-A x quits";
  }
  notice = reason;
  return std::make_unique<HeadlessInterface>();
}

Result<std::unique_ptr<UserInterface>> open_interface(MachineConfig& config, std::string& notice) {
  switch (config.display) {
    case DisplayKind::kAuto:
      return open_automatic(config, notice);
    case DisplayKind::kWindow:
      return open_sdl_window({config.full_screen});
    case DisplayKind::kTerminal:
      if (config.serial.kind == SerialKind::kStdio) {
        return fail("--display=terminal and --serial=stdio both want this terminal");
      }
      return open_terminal_view();
    case DisplayKind::kNone:
      break;
  }
  return std::unique_ptr<UserInterface>(std::make_unique<HeadlessInterface>());
}

// The server that the configuration asks for; empty if none.
Result<std::unique_ptr<VncServer>> open_vnc(const MachineConfig& config) {
  if (config.vnc.empty()) return std::unique_ptr<VncServer>();
  const auto address = parse_vnc_address(config.vnc);
  if (!address) return address.error();
  return VncServer::open(*address);
}

Result<std::unique_ptr<Recorder>> open_recorder(const MachineConfig& config) {
  if (config.record.empty()) return std::unique_ptr<Recorder>();
  if (config.vga == VgaKind::kNone)
    return fail("--record: there is no display card, leave --vga none out");
  return Recorder::open(config.record);
}

int run(MachineConfig config) {
  HostSignals signals;
  std::string notice;
  auto interface = open_interface(config, notice);
  if (!interface) {
    print_error(interface.error().message);
    return kRunError;
  }
  auto vnc = open_vnc(config);
  if (!vnc) {
    print_error(vnc.error().message);
    return kRunError;
  }
  auto sound = HostSound::open(config);
  if (!sound) {
    print_error(sound.error().message);
    return kRunError;
  }
  auto streams = HostStreams::open(config);
  if (!streams) {
    print_error(streams.error().message);
    return kRunError;
  }
  if ((*streams)->serial_view() != nullptr) (*interface)->show_serial(*(*streams)->serial_view());
  auto recorder = open_recorder(config);
  if (!recorder) {
    print_error(recorder.error().message);
    return kRunError;
  }
  auto machine = Machine::create(
      config, {(*streams)->serial(), (*streams)->debug_console(), (*sound)->sink()});
  if (!machine) {
    print_error(machine.error().message);
    return kRunError;
  }
  if (!config.quiet) {
    fmt::print(stderr, "{}",
               banner(config, (*machine)->describe_drives(), (*machine)->engine_line()));
    if (!notice.empty()) print_error(notice);
  }
  Machine& m = **machine;
  if (!config.load.empty()) {
    if (const auto loaded = load_from_file(m, config.load); !loaded) {
      print_error(loaded.error().message);
      return kRunError;
    }
  }
  signals.listen([&m](int) { m.request_quit(); }, [&streams] { (*streams)->continued(); });
  m.start();
  (*streams)->start(m);
  if (*vnc) (*vnc)->start(m);
  if (*recorder) (*recorder)->start(m);
  {
    const ScreenshotJob screenshot(m, config.screenshot, config.screenshot_after);
    (*interface)->run(m);
  }
  if (*recorder) (*recorder)->stop();
  if (*vnc) (*vnc)->stop();
  (*streams)->stop();
  const MachineEnd end = m.end();
  if (config.print_counters) fmt::print(stderr, "{}", m.engine_counters());
  if (!end.message.empty()) print_error(end.message);
  if (m.is_stuck()) {  // its thread cannot be joined
    std::fflush(nullptr);
    std::_Exit(end.status);
  }
  return end.status;
}

}  // namespace

int run_program(std::span<const std::string> arguments) {
  if (!arguments.empty() && arguments[0] == "img") return img::run_img(arguments.subspan(1));
  if (!arguments.empty() && arguments[0] == "doctor") return run_doctor(arguments.subspan(1));
  if (!arguments.empty() && arguments[0] == "bench") {
    return bench::run_bench(arguments.subspan(1));
  }
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
      line->config.firmware.empty() && line->config.boot_order.find('n') == std::string::npos) {
    print_error(
        "nothing to start: name a disk image, --cdrom, --kernel or --boot n; emu --help lists all");
    return kUsageError;
  }
  return run(line->config);
}

}  // namespace emu::cli
