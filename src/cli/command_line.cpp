// SPDX-License-Identifier: Apache-2.0
#include "cli/command_line.h"

#include <CLI/CLI.hpp>
#include <optional>
#include <set>
#include <vector>

#include "cli/drive_devices.h"
#include "cli/network_options.h"
#include "cli/option_names.h"
#include "cli/option_values.h"
#include "cli/options.h"
#include "ui/vnc/vnc_address.h"

#ifndef EMU_VERSION
#define EMU_VERSION "0.1"
#endif

namespace emu::cli {
namespace {

// Stores a parsed value, or returns the parser's error; nothing if the option was not given.
template <class T, class Parser>
Result<void> take(const std::string& text, std::string_view option, Parser parser, T& out) {
  if (text.empty()) return {};
  auto parsed = parser(option, text);
  if (!parsed) return parsed.error();
  out = *parsed;
  return {};
}

DriveConfig drive_at(const std::string& file, int position) {
  DriveConfig drive;
  drive.file = file;
  drive.position = position;
  return drive;
}

// Two drives in one place, too many drives.
Result<void> check_places(MachineConfig& config) {
  u32 taken = 0;
  std::size_t floppies = 0;
  std::size_t ide = 0;
  std::size_t cards = 0;
  std::set<std::pair<int, unsigned>> units;  // of SCSI
  for (const DriveConfig& drive : config.drives) {
    if (drive.interface == DriveInterface::kScsi && drive.scsi_target >= 0 &&
        !units.emplace(drive.scsi_target, drive.scsi_lun).second)
      return fail("two drives want scsi-id={},lun={}: {}", drive.scsi_target, drive.scsi_lun,
                  drive.file);
    const bool is_floppy = drive.media == DriveMedia::kFloppy;
    floppies += is_floppy ? 1 : 0;
    if (is_floppy && drive.position > 1)
      return fail("floppy {}: index is 0 (A) or 1 (B), not {}", drive.file, drive.position);
    ide += !is_floppy && drive.interface == DriveInterface::kIde ? 1 : 0;
    cards += !is_floppy && drive.interface != DriveInterface::kIde ? 1 : 0;
    if (drive.position < 0 && !is_floppy) continue;
    const u32 mask = is_floppy ? 16u << std::max(drive.position, 0) : 1u << drive.position;
    if ((taken & mask) != 0)
      return fail("two drives want place {}: {}", std::max(drive.position, 0), drive.file);
    taken |= mask;
  }
  if (ide > kMaxIdeDrives) {
    return fail(
        "{} drives are given; the two IDE channels hold four, and if=virtio or if=scsi takes more",
        ide);
  }
  if (cards > kMaxDiskCards)
    return fail("{} drives with controllers on PCI are given; there is room for {}", cards,
                kMaxDiskCards);
  // A floppy was put in to be started from, unless there is an order.
  if (floppies != 0 && config.boot_order == MachineConfig{}.boot_order) config.boot_order = "cad";
  return {};
}

Result<void> interpret_drives(const Options& c, MachineConfig& config) {
  for (int i = 0; i < 4; ++i) {
    if (!c.hd[i].empty()) config.drives.push_back(drive_at(c.hd[i], i));
  }
  for (const std::string& text : c.drives) {
    auto drive = parse_drive("--drive", text);
    if (!drive) return drive.error();
    config.drives.push_back(*drive);
  }
  for (const std::string& text : c.disks) {
    auto drive = parse_drive("--disk", text);
    if (!drive) return drive.error();
    config.drives.push_back(*drive);
  }
  if (c.images.size() > 1) {
    return fail("more than one image ({} and {}); give further disks with --drive file=...",
                c.images[0], c.images[1]);
  }
  for (const std::string& image : c.images) {
    if (image.empty()) return fail("the name of the image is empty; emu disk.qcow2 starts a disk");
    config.drives.push_back(drive_at(image, -1));
  }
  if (!c.cdrom.empty()) {
    DriveConfig drive = drive_at(c.cdrom, c.hd[2].empty() ? 2 : -1);
    drive.media = DriveMedia::kCdrom;
    drive.read_only = true;
    config.drives.push_back(drive);
  }
  for (int i = 0; i < 2; ++i) {
    if (c.fd[i].empty()) continue;
    DriveConfig drive = drive_at(c.fd[i], i);
    drive.media = DriveMedia::kFloppy;
    config.drives.push_back(drive);
  }
  if (c.snapshot) {
    for (DriveConfig& drive : config.drives) drive.snapshot = true;
  }
  return check_places(config);
}

Result<void> interpret_words(const Options& c, MachineConfig& config) {
  if (!c.on_reset.empty()) {
    if (c.on_reset != "reboot" && c.on_reset != "exit") {
      return fail("--on-reset is reboot or exit, not '{}'", c.on_reset);
    }
    config.on_reset = c.on_reset == "exit" ? ResetPolicy::kExit : ResetPolicy::kReboot;
  }
  if (c.no_reboot) config.on_reset = ResetPolicy::kExit;
  if (!c.on_triple_fault.empty()) {
    if (c.on_triple_fault != "reset" && c.on_triple_fault != "stop") {
      return fail("--on-triple-fault is reset or stop, not '{}'", c.on_triple_fault);
    }
    config.stop_on_triple_fault = c.on_triple_fault == "stop";
  }
  if (!c.parallel.empty() && c.parallel != "none") {
    return fail("--parallel {}: there is no parallel port; use --parallel none", c.parallel);
  }
  return {};
}

Result<void> interpret_translator(const Options& c, MachineConfig& config) {
  for (const std::string& text : c.translator) {
    EMU_TRY(parse_translator("--translator", text, config.translator));
  }
  if (c.one_insn) config.translator.one_instruction_blocks = true;
  if (c.perf_map) config.translator.perf_map = true;
  config.print_counters = c.counters;
  if (!c.dump_block.empty()) {
    auto address = parse_number("--dump-block", c.dump_block, 0, ~u64{0});
    if (!address) return address.error();
    config.translator.dump_block = *address;
  }
  return {};
}

Result<void> interpret_boot(const Options& c, MachineConfig& config) {
  if (!c.boot.empty()) EMU_TRY(parse_boot("--boot", c.boot, config));
  config.linux_boot = {c.kernel, c.initrd, c.append};
  if (c.kernel.empty() && !c.initrd.empty()) return fail("--initrd needs --kernel as well");
  if (c.kernel.empty() && !c.append.empty()) return fail("--append needs --kernel as well");
  config.firmware = c.firmware;
  config.vga_firmware = c.vga_firmware;
  return {};
}

Result<void> interpret_streams(const Options& c, MachineConfig& config) {
  EMU_TRY(take(c.display, "--display", parse_display, config.display));
  EMU_TRY(take(c.vga, "--vga", parse_vga, config.vga));
  if (c.screenshot.empty() && !c.after.empty()) return fail("--after needs --screenshot as well");
  config.full_screen = c.full_screen;
  if (!c.audio.empty()) config.audio = c.audio;
  const bool is_file = config.audio.starts_with("wav:") && config.audio.size() > 4;
  if (config.audio != "auto" && config.audio != "none" && config.audio != "sdl" && !is_file)
    return fail("--audio {}: it is auto, sdl, wav:FILE or none", config.audio);
  if (c.vnc != "none") config.vnc = c.vnc;
  if (!config.vnc.empty()) {
    const auto address = parse_vnc_address(config.vnc);
    if (!address) return address.error();
    if (config.display == DisplayKind::kAuto) config.display = DisplayKind::kNone;
  }
  config.record = c.record;
  config.screenshot = c.screenshot;
  config.screenshot_after = c.after;
  EMU_TRY(take(c.debug_console, "--debug-console", parse_char, config.debug_console));
  if (c.nographic) {
    config.display = DisplayKind::kNone;
    config.serial.kind = SerialKind::kStdio;
  } else if (config.display == DisplayKind::kNone && c.serial.empty()) {
    config.serial.kind = SerialKind::kNull;
  }
  EMU_TRY(take(c.serial, "--serial", parse_char, config.serial));
  EMU_TRY(take(c.monitor, "--monitor", parse_monitor, config.monitor));
  config.load = c.load;
  if (config.serial.kind == SerialKind::kStdio && config.debug_console.kind == SerialKind::kStdio) {
    return fail("--serial and --debug-console cannot both be stdio; use --debug-console file:PATH");
  }
  return {};
}

Result<void> interpret(const Options& given, MachineConfig& config) {
  Options c = given;
  EMU_TRY(join_drives_and_devices(c.drives, c.devices));
  if (!c.machine.empty()) EMU_TRY(parse_machine("--machine", c.machine, config));
  EMU_TRY(take(c.accel, "--accel", parse_engine, config.engine));
  if (c.enable_kvm) config.engine = EngineChoice::kKvm;
  EMU_TRY(take(c.memory, "--memory", parse_memory, config.memory_bytes));
  EMU_TRY(take(c.cpus, "--cpus", parse_cpus, config.cpus));
  if (!c.cpu.empty()) config.cpu_model = c.cpu;
  if (!c.name.empty()) config.name = split_key_values(c.name).front().second;
  if (!c.rtc.empty()) EMU_TRY(parse_rtc("--rtc", c.rtc, config));
  EMU_TRY(interpret_drives(c, config));
  EMU_TRY(interpret_boot(c, config));
  EMU_TRY(interpret_streams(c, config));
  EMU_TRY(interpret_words(c, config));
  EMU_TRY(interpret_translator(c, config));
  NetworkWords network{c.nics, c.netdevs, c.devices, c.forwards, c.capture, c.nodefaults};
  EMU_TRY(interpret_network(network, config));
  for (const std::string& device : network.devices) {
    EMU_TRY(parse_device("--device", device, config));
  }
  if (!c.debug_exit.empty()) {
    auto port = parse_number("--debug-exit", c.debug_exit, 0, 0xfffc);
    if (!port) return port.error();
    config.debug_exit_port = static_cast<u16>(*port);
  }
  config.usb |= c.usb;
  config.quiet = c.quiet;
  return {};
}

}  // namespace

Result<CommandLine> parse_command_line(std::span<const std::string> arguments) {
  CLI::App app("A PC emulator: starts a PC from a disk image, a CD-ROM or a Linux kernel.");
  Options collected;
  declare_options(app, collected);
  auto normal = normalise_arguments(arguments, option_names(app));
  if (!normal) return normal.error();
  CommandLine out;
  try {
    std::vector<std::string> reversed(normal->rbegin(), normal->rend());
    app.parse(reversed);
  } catch (const CLI::CallForHelp&) {
    return CommandLine{Action::kPrintText, app.help(), {}};
  } catch (const CLI::OptionAlreadyAdded& e) {
    return fail("{}", e.what());
  } catch (const CLI::ParseError& e) {
    return fail("{}", e.what());
  }
  if (collected.version) return CommandLine{Action::kPrintText, "emu " EMU_VERSION "\n", {}};
  EMU_TRY(interpret(collected, out.config));
  if (collected.print_config) {
    out.action = Action::kPrintText;
    out.text = print_config(out.config);
  }
  return out;
}

std::string print_config(const MachineConfig& config) {
  std::string out;
  const auto line = [&out](std::string_view name, std::string_view value) {
    if (!value.empty()) out += fmt::format("{}={}\n", name, value);
  };
  const auto flag = [&out](std::string_view name, bool on) {
    if (on) out += fmt::format("{}\n", name);
  };
  line("accel", engine_text(config.engine));
  line("cpu", config.cpu_model);
  line("cpus", std::to_string(config.cpus));
  line("memory", memory_text(config.memory_bytes));
  line("name", escape_commas(config.name));
  line("rtc", rtc_text(config));
  for (const DriveConfig& drive : config.drives) line("drive", drive_text(drive));
  for (const NicConfig& nic : config.nics) line("nic", nic_text(nic));
  if (config.nics.empty()) line("nic", "none");
  line("boot", fmt::format("order={},menu={}", config.boot_order, config.boot_menu ? "on" : "off"));
  line("kernel", config.linux_boot.kernel);
  line("initrd", config.linux_boot.initrd);
  line("append", config.linux_boot.command_line);
  line("firmware", config.firmware);
  line("vga-firmware", config.vga_firmware);
  line("vga", vga_text(config.vga));
  line("display", display_text(config.display));
  flag("full-screen", config.full_screen);
  line("vnc", config.vnc);
  line("record", config.record);
  line("screenshot", config.screenshot);
  line("after", config.screenshot_after);
  line("serial", char_text(config.serial));
  line("debug-console", char_text(config.debug_console));
  line("monitor", config.monitor);
  line("load", config.load);
  line("audio", config.audio);
  if (config.ac97) line("device", "AC97");
  if (config.hda) line("device", "intel-hda");
  if (config.sb16) line("device", "sb16");
  flag("usb", config.usb);
  if (config.usb_controller != UsbController::kUhci)
    line("device", usb_controller_text(config.usb_controller));
  for (const UsbConfig& device : config.usb_devices) line("device", usb_text(device));
  for (const VirtioInputKind kind : config.virtio_inputs) line("device", virtio_input_text(kind));
  if (config.debug_exit_port) line("debug-exit", fmt::format("{:#x}", *config.debug_exit_port));
  line("on-reset", config.on_reset == ResetPolicy::kExit ? "exit" : "reboot");
  line("on-triple-fault", config.stop_on_triple_fault ? "stop" : "reset");
  line("translator", translator_text(config.translator));
  if (config.translator.dump_block != 0) {
    line("dump-block", fmt::format("{:#x}", config.translator.dump_block));
  }
  flag("counters", config.print_counters);
  flag("quiet", config.quiet);
  return out;
}

}  // namespace emu::cli
