// SPDX-License-Identifier: Apache-2.0
#include "cli/command_line.h"

#include <CLI/CLI.hpp>
#include <optional>
#include <vector>

#include "cli/network_options.h"
#include "cli/option_names.h"
#include "cli/option_values.h"
#include "ui/vnc/vnc_address.h"

#ifndef EMU_VERSION
#define EMU_VERSION "0.1"
#endif

namespace emu::cli {
namespace {

// What CLI11 collects; everything is text until interpret() reads it.
struct Collected {
  std::vector<std::string> images;
  std::string accel, cpu, cpus, memory, machine, name, rtc, uuid;
  std::string hd[4], fd[2];
  std::string cdrom, boot, kernel, initrd, append, firmware, vga_firmware;
  std::string display, vnc, audio, screenshot, after, vga, serial, debug_console, monitor, load,
      parallel, debug_exit;
  std::string on_reset, on_triple_fault, dump_block;
  std::vector<std::string> drives, disks, nics, netdevs, forwards, devices, translator;
  std::string capture;
  bool snapshot = false, full_screen = false, nographic = false, no_reboot = false,
       enable_kvm = false;
  bool nodefaults = false, one_insn = false, perf_map = false, counters = false;
  bool usb = false, quiet = false, print_config = false, version = false;
};

// An option that may be given several times, with one value each.
CLI::Option* add_list(CLI::App& app, const std::string& names, std::vector<std::string>& list,
                      const std::string& text) {
  return app.add_option(names, list, text)
      ->multi_option_policy(CLI::MultiOptionPolicy::Throw)
      ->allow_extra_args(false);
}

void add_machine_options(CLI::App& app, Collected& c) {
  const std::string group = "Machine";
  app.add_option("--accel", c.accel,
                 "Engine: auto (KVM if it is usable), kvm, tcg (translate), kvm:tcg")
      ->type_name("ENGINE")
      ->group(group);
  app.add_option("-m,--memory", c.memory, "Memory: 512M, 2G; a bare number is MiB [2G]")
      ->type_name("SIZE")
      ->group(group);
  app.add_option("--cpus,--smp", c.cpus, "Number of processors [1]")->type_name("N")->group(group);
  app.add_option("--cpu", c.cpu, "Processor model [max: all this engine can do]")
      ->type_name("MODEL")
      ->group(group);
  app.add_option("--machine", c.machine, "Machine type: pc")->type_name("TYPE")->group(group);
  app.add_option("--name", c.name, "Name in the window title")->type_name("NAME")->group(group);
  app.add_option("--rtc", c.rtc, "Clock: base=utc, base=localtime, base=2026-01-31T12:00:00")
      ->type_name("base=WHEN")
      ->group(group);
}

void add_disk_options(CLI::App& app, Collected& c) {
  const std::string group = "Disks";
  app.add_option("image", c.images, "Disk image (qcow2 or raw) to start from")
      ->type_name("FILE")
      ->multi_option_policy(CLI::MultiOptionPolicy::Throw);
  app.add_option("--hda", c.hd[0], "Image for the first disk")->type_name("FILE")->group(group);
  app.add_option("--hdb", c.hd[1], "Image for the second disk")->type_name("FILE")->group(group);
  app.add_option("--hdc", c.hd[2], "Image for the third disk")->type_name("FILE")->group(group);
  app.add_option("--hdd", c.hd[3], "Image for the fourth disk")->type_name("FILE")->group(group);
  app.add_option("--cdrom", c.cdrom, "ISO image for the CD-ROM drive")
      ->type_name("FILE")
      ->group(group);
  app.add_option("--fda,--floppy", c.fd[0], "Image for the first floppy drive")
      ->type_name("FILE")
      ->group(group);
  app.add_option("--fdb", c.fd[1], "Image for the second floppy drive")
      ->type_name("FILE")
      ->group(group);
  add_list(app, "--drive", c.drives,
           "file=F[,if=ide|virtio|nvme|ahci|floppy][,format=qcow2|raw][,media=disk|cdrom|floppy][,"
           "index=N]"
           "[,readonly=on][,snapshot=on][,serial=S][,cache=MODE][,bps=N][,iops=N][,queues=N][,"
           "packed=on]")
      ->type_name("SPEC")
      ->group(group);
  add_list(app, "--disk", c.disks, "A further disk: FILE[,if=virtio][,...], as --drive")
      ->type_name("FILE")
      ->group(group);
  app.add_flag("--snapshot", c.snapshot, "Forget all changes to disks at the end")->group(group);
}

void add_boot_options(CLI::App& app, Collected& c) {
  const std::string group = "Starting";
  app.add_option("--boot", c.boot, "Order: letters of c (disk), d (CD-ROM); menu=on [cd]")
      ->type_name("ORDER")
      ->group(group);
  app.add_option("--kernel", c.kernel, "Linux (bzImage) or Multiboot kernel to start directly")
      ->type_name("FILE")
      ->group(group);
  app.add_option("--initrd", c.initrd, "Initial RAM disk for --kernel")
      ->type_name("FILE")
      ->group(group);
  app.add_option("--append", c.append, "Command line for --kernel")
      ->type_name("TEXT")
      ->group(group);
  app.add_option("--load", c.load, "Go on from a state that the monitor saved")
      ->type_name("FILE")
      ->group(group);
  app.add_option("--firmware,--bios", c.firmware, "BIOS image [Debian's SeaBIOS]")
      ->type_name("FILE")
      ->group(group);
  app.add_option("--vga-firmware", c.vga_firmware, "VGA BIOS image [Debian's]")
      ->type_name("FILE")
      ->group(group);
}

void add_network_options(CLI::App& app, Collected& c, const std::string& group) {
  add_list(app, "-p,--publish", c.forwards, "Forward a port of this host: 2222:22, 0.0.0.0:80:80")
      ->type_name("[ADDRESS:]PORT:PORT")
      ->group(group);
  add_list(app, "--nic,--net", c.nics,
           "Network and card: user[,model=e1000][,mac=M]..., none [user]")
      ->type_name("KIND")
      ->group(group);
  add_list(app, "--netdev", c.netdevs,
           "The same in two halves: KIND,id=ID and --device CARD,netdev=ID")
      ->type_name("KIND")
      ->group(group);
  app.add_option("--capture", c.capture, "Write all packets to this pcapng file (Wireshark)")
      ->type_name("FILE")
      ->group(group);
}

void add_host_options(CLI::App& app, Collected& c) {
  const std::string group = "Screen, serial and network";
  app.add_option("--display", c.display, "auto, window (sdl), terminal (term), none [auto]")
      ->type_name("KIND")
      ->group(group);
  app.add_flag("--full-screen", c.full_screen, "Let the window fill the screen")->group(group);
  app.add_option("--vnc", c.vnc,
                 "Show the screen to VNC clients: :1 (port 5901 of this host), HOST:1, "
                 "unix:PATH; [,password-file=FILE]")
      ->type_name("WHERE")
      ->group(group);
  app.add_option("--screenshot", c.screenshot, "Save the screen as this PNG file")
      ->type_name("FILE")
      ->group(group);
  app.add_option("--after", c.after, "When: SECONDS, or a TEXT on the screen [at the end]")
      ->type_name("WHEN")
      ->group(group);
  app.add_flag("--nographic", c.nographic, "No screen; serial port in this terminal")->group(group);
  app.add_option("--serial", c.serial, "First serial port: stdio, file:PATH, null, none")
      ->type_name("WHERE")
      ->group(group);
  app.add_option("--debug-console", c.debug_console, "Ports 402h and E9h: stdio, file:PATH, null")
      ->type_name("WHERE")
      ->group(group);
  add_network_options(app, c, group);
  app.add_option("--audio", c.audio,
                 "Where sound goes: auto (SDL beside a window), sdl, wav:FILE, none [auto]")
      ->type_name("WHERE")
      ->group(group);
  app.add_flag("--usb", c.usb, "A USB controller (--device usb-... brings it too)")->group(group);
  app.add_option("--vga", c.vga, "Accepted: std")->group("");
  app.add_option("--monitor", c.monitor, "Commands to the machine: stdio, unix:PATH, none")
      ->type_name("WHERE")
      ->group(group);
  app.add_option("--parallel", c.parallel, "Accepted: none")->group("");
  app.add_option("--uuid", c.uuid, "Accepted")->group("");
  app.add_flag("--nodefaults", c.nodefaults, "Accepted")->group("");
}

void add_ending_options(CLI::App& app, Collected& c) {
  const std::string group = "Ending";
  app.add_flag("--no-reboot", c.no_reboot, "Exit when the guest restarts itself")->group(group);
  app.add_option("--on-reset", c.on_reset, "reboot or exit [reboot]")
      ->type_name("WHAT")
      ->group(group);
  app.add_option("--on-triple-fault", c.on_triple_fault, "reset or stop [reset]")
      ->type_name("WHAT")
      ->group(group);
  add_list(app, "--device", c.devices,
           "isa-debug-exit[,iobase=PORT]: the guest may exit with a code; usb-tablet (a pointer "
           "that needs no grab), usb-mouse, usb-kbd; AC97 (a sound card)")
      ->type_name("NAME")
      ->group(group);
  app.add_option("--debug-exit", c.debug_exit, "The same, by port number: 0xf4")
      ->type_name("PORT")
      ->group(group);
  app.add_flag("--enable-kvm", c.enable_kvm, "As --accel=kvm")->group("");
}

void add_inspection_options(CLI::App& app, Collected& c) {
  const std::string group = "Looking inside";
  app.add_flag("--print-config", c.print_config, "Print the configuration, as --config reads it")
      ->group(group);
  app.add_option("--config", "Read options from a file, one name=value a line (also: @FILE)")
      ->type_name("FILE")
      ->group(group);
  app.add_option("--dump-block", c.dump_block, "Print guest and host code of the block at ADDR")
      ->type_name("ADDR")
      ->group(group);
  app.add_flag("--one-insn-per-block", c.one_insn, "Translate one instruction at a time")
      ->group(group);
  add_list(app, "--translator", c.translator,
           "Switches: chain=off jump-cache=off pair-returns=off share-checks=off predict-pages=on "
           "dead-flags=off park-pages=off live-immediates=off stay-inside=off decode-cache=off "
           "move-code=off tag-tlb=off "
           "max-block=N code-cache=SIZE")
      ->type_name("SWITCHES")
      ->group(group);
  app.add_flag("--perf-map", c.perf_map, "Write /tmp/perf-PID.map for perf(1)")->group(group);
  app.add_flag("--counters", c.counters, "Print the engine's counters at the end")->group(group);
  app.add_flag("-q,--quiet", c.quiet, "No banner")->group("Help");
  app.add_flag("-V,--version", c.version, "Print the version")->group("Help");
}

void add_all(CLI::App& app, Collected& c) {
  app.set_help_flag("-h,--help", "Print this")->group("Help");
  app.option_defaults()->take_last();  // what stands later overrides, also what --config brought
  app.name("emu");
  app.footer(
      "Besides: emu img --help (make, check and convert disk images), emu doctor (what this host\n"
      "offers, and how to get more).\n\n"
      "QEMU's names work too: -m -smp -cdrom -kernel -initrd -append -nographic -no-reboot -hda\n"
      "-drive -boot -display -serial -snapshot -rtc -cpu -accel -name -device isa-debug-exit.\n\n"
      "Examples:\n"
      "  emu disk.qcow2                       a disk, in a window or this terminal\n"
      "  emu -m 4G --cpus 2 disk.qcow2        more of everything\n"
      "  emu -cdrom install.iso disk.qcow2 -boot d\n"
      "  emu -nographic -no-reboot -kernel vmlinuz -initrd initrd.img -append console=ttyS0");
  add_disk_options(app, c);
  add_machine_options(app, c);
  add_boot_options(app, c);
  add_host_options(app, c);
  add_ending_options(app, c);
  add_inspection_options(app, c);
}

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
  for (const DriveConfig& drive : config.drives) {
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
    return fail("{} drives are given; the two IDE channels hold four, and if=virtio takes more",
                ide);
  }
  if (cards > kMaxDiskCards)
    return fail("{} disks with if=virtio are given; there is room for {}", cards, kMaxDiskCards);
  // A floppy was put in to be started from, unless there is an order.
  if (floppies != 0 && config.boot_order == MachineConfig{}.boot_order) config.boot_order = "cad";
  return {};
}

Result<void> interpret_drives(const Collected& c, MachineConfig& config) {
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

Result<void> interpret_words(const Collected& c, MachineConfig& config) {
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
  if (!c.vga.empty() && c.vga != "std" && c.vga != "none") {
    return fail("--vga {}: the display card is std", c.vga);
  }
  return {};
}

Result<void> interpret_translator(const Collected& c, MachineConfig& config) {
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

Result<void> interpret_boot(const Collected& c, MachineConfig& config) {
  if (!c.boot.empty()) EMU_TRY(parse_boot("--boot", c.boot, config));
  config.linux_boot = {c.kernel, c.initrd, c.append};
  if (c.kernel.empty() && !c.initrd.empty()) return fail("--initrd needs --kernel as well");
  if (c.kernel.empty() && !c.append.empty()) return fail("--append needs --kernel as well");
  config.firmware = c.firmware;
  config.vga_firmware = c.vga_firmware;
  return {};
}

Result<void> interpret_streams(const Collected& c, MachineConfig& config) {
  EMU_TRY(take(c.display, "--display", parse_display, config.display));
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

Result<void> interpret(const Collected& c, MachineConfig& config) {
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
  config.usb = c.usb;
  config.quiet = c.quiet;
  return {};
}

}  // namespace

Result<CommandLine> parse_command_line(std::span<const std::string> arguments) {
  auto normal = normalise_arguments(arguments);
  if (!normal) return normal.error();
  CLI::App app("A PC emulator: starts a PC from a disk image, a CD-ROM or a Linux kernel.");
  Collected collected;
  add_all(app, collected);
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
  line("display", display_text(config.display));
  flag("full-screen", config.full_screen);
  line("vnc", config.vnc);
  line("screenshot", config.screenshot);
  line("after", config.screenshot_after);
  line("serial", char_text(config.serial));
  line("debug-console", char_text(config.debug_console));
  line("monitor", config.monitor);
  line("load", config.load);
  line("audio", config.audio);
  if (config.ac97) line("device", "AC97");
  flag("usb", config.usb);
  for (const UsbKind kind : config.usb_devices) line("device", usb_text(kind));
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
