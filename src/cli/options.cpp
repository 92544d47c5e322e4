// SPDX-License-Identifier: Apache-2.0
#include "cli/options.h"

#include <array>

namespace emu::cli {
namespace {

struct SecondName {
  std::string_view name;    // as QEMU and habit have it
  std::string_view option;  // the declared long name
};

// Spellings that are understood but not listed by --help.
constexpr std::array kSecondNames = std::to_array<SecondName>({
    {"engine", "accel"},
    {"cpu-model", "cpu"},
    {"M", "machine"},
    {"boot-order", "boot"},
    {"command-line", "append"},
    {"debugcon", "debug-console"},
    {"no-user-config", "nodefaults"},
    {"one-insn-per-tb", "one-insn-per-block"},
    {"perfmap", "perf-map"},
    {"readconfig", "config"},
});

// An option that may be given several times, with one value each.
CLI::Option* add_list(CLI::App& app, const std::string& names, std::vector<std::string>& list,
                      const std::string& text) {
  return app.add_option(names, list, text)
      ->multi_option_policy(CLI::MultiOptionPolicy::Throw)
      ->allow_extra_args(false);
}

void add_machine_options(CLI::App& app, Options& c) {
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

void add_disk_options(CLI::App& app, Options& c) {
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
  add_list(
      app, "--drive", c.drives,
      "file=F[,if=ide|virtio|scsi|nvme|ahci|usb|floppy][,format=FORMAT][,media=disk|cdrom|floppy][,"
      "index=N]"
      "[,readonly=on][,snapshot=on][,serial=S][,cache=MODE][,aio=threads][,key-file=F][,bps=N]"
      "[,iops=N][,queues=N][,"
      "packed=on][,bootindex=N][,scsi-id=N][,lun=N][,port=P]")
      ->type_name("SPEC")
      ->group(group);
  add_list(app, "--disk", c.disks, "A further disk: FILE[,if=virtio][,...], as --drive")
      ->type_name("FILE")
      ->group(group);
  app.add_flag("--snapshot", c.snapshot, "Forget all changes to disks at the end")->group(group);
}

void add_boot_options(CLI::App& app, Options& c) {
  const std::string group = "Starting";
  app.add_option("--boot", c.boot,
                 "Order: letters of a (floppy), c (disk), d (CD-ROM), n (network); menu=on [cd]")
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

void add_network_options(CLI::App& app, Options& c, const std::string& group) {
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

void add_host_options(CLI::App& app, Options& c) {
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
  app.add_option("--record", c.record, "Record screen to this video file (needs ffmpeg): out.mp4")
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
  app.add_option(
         "--vga", c.vga,
         "Display card: std, virtio (a guest with its driver follows the window), cirrus (for old "
         "systems), none [std]")
      ->type_name("CARD")
      ->group(group);
  app.add_option("--monitor", c.monitor, "Commands to the machine: stdio, unix:PATH, none")
      ->type_name("WHERE")
      ->group(group);
  app.add_option("--parallel", c.parallel, "Accepted: none")->group("");
  app.add_option("--uuid", c.uuid, "Accepted")->group("");
  app.add_flag("--nodefaults", c.nodefaults, "Accepted")->group("");
}

void add_ending_options(CLI::App& app, Options& c) {
  const std::string group = "Ending";
  app.add_flag("--no-reboot", c.no_reboot, "Exit when the guest restarts itself")->group(group);
  app.add_option("--on-reset", c.on_reset, "reboot or exit [reboot]")
      ->type_name("WHAT")
      ->group(group);
  app.add_option("--on-triple-fault", c.on_triple_fault, "reset or stop [reset]")
      ->type_name("WHAT")
      ->group(group);
  add_list(
      app, "--device", c.devices,
      "isa-debug-exit[,iobase=PORT]: the guest may exit with a code; usb-tablet (a pointer "
      "that needs no grab), usb-mouse, usb-kbd, usb-hub (each [,port=1.2]), qemu-xhci or "
      "nec-usb-xhci (USB 3 instead of USB 1.1), virtio-tablet, virtio-mouse, virtio-keyboard; "
      "AC97 or intel-hda (a sound card), sb16 (one for old systems); the other half of "
      "--drive if=none,id=X: "
      "virtio-blk-pci, nvme, usb-storage, ide-hd, ide-cd, scsi-hd, scsi-cd or floppy with drive=X")
      ->type_name("NAME")
      ->group(group);
  app.add_option("--debug-exit", c.debug_exit, "The same, by port number: 0xf4")
      ->type_name("PORT")
      ->group(group);
  app.add_flag("--enable-kvm", c.enable_kvm, "As --accel=kvm")->group("");
}

void add_inspection_options(CLI::App& app, Options& c) {
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
           "move-code=off tag-tlb=off lock-step=N native-user=off|always "
           "max-block=N code-cache=SIZE")
      ->type_name("SWITCHES")
      ->group(group);
  app.add_flag("--perf-map", c.perf_map, "Write /tmp/perf-PID.map for perf(1)")->group(group);
  app.add_flag("--counters", c.counters, "Print the engine's counters at the end")->group(group);
  app.add_flag("-q,--quiet", c.quiet, "No banner")->group("Help");
  app.add_flag("-V,--version", c.version, "Print the version")->group("Help");
}

}  // namespace

void declare_options(CLI::App& app, Options& out) {
  app.set_help_flag("-h,--help", "Print this")->group("Help");
  app.option_defaults()->take_last();  // what stands later overrides, also what --config brought
  app.name("emu");
  app.footer(
      "Besides: emu img --help (make, check and convert disk images), emu doctor (what this host\n"
      "offers, and how to get more), emu bench (compares the engines).\n\n"
      "QEMU's names work too: -m -smp -cdrom -kernel -initrd -append -nographic -no-reboot -hda\n"
      "-drive -boot -display -serial -snapshot -rtc -cpu -accel -name -device isa-debug-exit.\n\n"
      "Examples:\n"
      "  emu disk.qcow2                       a disk, in a window or this terminal\n"
      "  emu -m 4G --cpus 2 disk.qcow2        more of everything\n"
      "  emu -cdrom install.iso disk.qcow2 -boot d\n"
      "  emu -nographic -no-reboot -kernel vmlinuz -initrd initrd.img -append console=ttyS0");
  add_disk_options(app, out);
  add_machine_options(app, out);
  add_boot_options(app, out);
  add_host_options(app, out);
  add_ending_options(app, out);
  add_inspection_options(app, out);
}

std::vector<OptionName> option_names(const CLI::App& app) {
  std::vector<OptionName> out;
  for (const CLI::Option* const option : app.get_options()) {
    if (option->get_lnames().empty()) continue;  // the image
    OptionName names;
    names.name = option->get_lnames().front();
    const auto& long_names = option->get_lnames();
    names.aliases.assign(long_names.begin() + 1, long_names.end());
    const auto& short_names = option->get_snames();
    names.aliases.insert(names.aliases.end(), short_names.begin(), short_names.end());
    for (const SecondName& second : kSecondNames) {
      if (second.option == names.name) names.aliases.emplace_back(second.name);
    }
    names.takes_value = option->get_items_expected_max() > 0;
    out.push_back(std::move(names));
  }
  return out;
}

}  // namespace emu::cli
