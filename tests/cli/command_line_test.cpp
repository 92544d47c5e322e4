// SPDX-License-Identifier: Apache-2.0
// The command line: spellings, values, errors, and the round trip of --print-config.
#include "cli/command_line.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <set>

#include "cli/options.h"

namespace emu::cli {
namespace {

MachineConfig parsed(const std::vector<std::string>& arguments) {
  auto line = parse_command_line(arguments);
  EXPECT_TRUE(line) << (line ? "" : line.error().message);
  return line ? line->config : MachineConfig{};
}

std::string error_of(const std::vector<std::string>& arguments) {
  auto line = parse_command_line(arguments);
  return line ? "no error" : line.error().message;
}

TEST(CommandLine, OneImageIsEnough) {
  const MachineConfig c = parsed({"disk.qcow2"});
  ASSERT_EQ(c.drives.size(), 1u);
  EXPECT_EQ(c.drives[0].file, "disk.qcow2");
  EXPECT_EQ(c.engine, EngineChoice::kAuto);
  EXPECT_EQ(c.memory_bytes, 2 * kGiB);
}

TEST(CommandLine, EveryNameIsGivenOnceAndKnowsWhetherItTakesAValue) {
  CLI::App app;
  Options options;
  declare_options(app, options);
  std::set<std::string> seen;
  const auto flags =
      std::set<std::string>{"help", "version", "quiet", "usb", "snapshot", "counters"};
  for (const OptionName& option : option_names(app)) {
    EXPECT_TRUE(seen.insert(option.name).second) << option.name;
    for (const std::string& alias : option.aliases) EXPECT_TRUE(seen.insert(alias).second) << alias;
    if (flags.contains(option.name)) {
      EXPECT_FALSE(option.takes_value) << option.name;
    }
  }
  for (const char* const qemu : {"M", "bios", "smp", "net", "one-insn-per-tb", "readconfig"}) {
    EXPECT_TRUE(seen.contains(qemu)) << qemu;
  }
}

TEST(CommandLine, QemuNamesAndLongNamesMeanTheSame) {
  const MachineConfig qemu =
      parsed({"-accel", "tcg", "-m", "512", "-smp", "2", "-nographic", "-no-reboot", "-kernel", "K",
              "-initrd", "I", "-append", "-console=ttyS0 -x"});
  const MachineConfig readable =
      parsed({"--accel=tcg", "--memory=512M", "--cpus", "2", "--display=none", "--serial", "stdio",
              "--on-reset=exit", "--kernel=K", "--initrd=I", "--append", "-console=ttyS0 -x"});
  EXPECT_EQ(qemu, readable);
  EXPECT_EQ(qemu.linux_boot.command_line, "-console=ttyS0 -x");
  EXPECT_EQ(qemu.memory_bytes, 512 * kMiB);
  EXPECT_EQ(qemu.serial.kind, SerialKind::kStdio);
}

// What tutorials for QEMU write.
TEST(CommandLine, ADriveAndItsDeviceAreOneDisk) {
  const MachineConfig c = parsed(
      {"-drive", "file=a,if=none,id=x", "-device", "virtio-blk-pci,drive=x,serial=S,num-queues=2",
       "-drive", "id=y,if=none,format=raw,file=b", "-device", "nvme,drive=y,serial=T", "-drive",
       "file=c,if=none,id=z", "-device", "ahci,id=ahci", "-device", "ide-hd,drive=z,bus=ahci.0",
       "-drive", "file=d,if=none,id=w,media=cdrom", "-device", "ide-cd,drive=w,bus=ide.1,unit=1"});
  const MachineConfig own = parsed({"--drive", "file=a,if=virtio,serial=S,queues=2", "--drive",
                                    "file=b,if=nvme,serial=T,format=raw", "--drive",
                                    "file=c,if=ahci", "--drive", "file=d,media=cdrom,index=3"});
  EXPECT_EQ(c, own);
  EXPECT_NE(error_of({"-device", "virtio-blk-pci,drive=q"}).find("no --drive with id=q"),
            std::string::npos);
  EXPECT_NE(error_of({"-drive", "file=a,if=none,id=x", "-device", "nvme,drive=x,colour=red"})
                .find("no property colour"),
            std::string::npos);
}

TEST(CommandLine, AnImageMayFollowAnyOption) {
  const MachineConfig c =
      parsed({"-drive", "file=a.img,format=raw,if=ide", "-m512", "b.qcow2", "-q"});
  ASSERT_EQ(c.drives.size(), 2u);
  EXPECT_EQ(c.drives[0].file, "a.img");
  EXPECT_EQ(c.drives[0].format, "raw");
  EXPECT_EQ(c.drives[1].file, "b.qcow2");
  EXPECT_TRUE(c.quiet);
}

TEST(CommandLine, FloppiesHavePlacesOfTheirOwn) {
  const MachineConfig c =
      parsed({"-fda", "a.img", "-drive", "file=b.img,if=floppy,index=1", "-hda", "c.img"});
  ASSERT_EQ(c.drives.size(), 3u);
  EXPECT_EQ(c.drives[1].media, DriveMedia::kFloppy);
  EXPECT_EQ(c.drives[1].position, 1);
  EXPECT_EQ(c.drives[2].media, DriveMedia::kFloppy);
  EXPECT_EQ(c.drives[2].position, 0);
  EXPECT_EQ(c.boot_order, "cad");
  EXPECT_EQ(parsed({"-fda", "a.img", "-boot", "d"}).boot_order, "d");
  EXPECT_EQ(error_of({"-fda", "a", "-drive", "file=b,if=floppy"}), "two drives want place 0: a");
}

TEST(CommandLine, DebugExitAsInQemu) {
  EXPECT_EQ(parsed({"-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"}).debug_exit_port, 0xf4);
  EXPECT_EQ(parsed({"--device", "isa-debug-exit"}).debug_exit_port, 0x501);
}

TEST(CommandLine, AFixedClockIsInUtc) {
  const MachineConfig c = parsed({"-rtc", "base=2006-06-17T16:01:21"});
  EXPECT_EQ(c.rtc_base, RtcBase::kFixed);
  EXPECT_EQ(c.rtc_fixed_seconds, 1150560081);
}

TEST(CommandLine, AnUnknownOptionSuggestsTheNearest) {
  EXPECT_EQ(error_of({"-kernal", "K"}), "unknown option -kernal; did you mean --kernel?");
  EXPECT_EQ(error_of({"--xyzzyplugh"}), "unknown option --xyzzyplugh; emu --help lists all");
}

TEST(CommandLine, BadValuesNameTheOption) {
  EXPECT_NE(error_of({"-m", "lots"}).find("--memory: 'lots' is not an amount"), std::string::npos);
  EXPECT_NE(error_of({"-m", "99999999999999999999"}).find("--memory"), std::string::npos);
  EXPECT_NE(error_of({"-smp", "0"}).find("--cpus: 0 is out of range"), std::string::npos);
  EXPECT_NE(error_of({"-smp", "2x"}).find("is not a number"), std::string::npos);
  EXPECT_EQ(error_of({"-accel", "hax"}),
            "--accel: the engine is auto, kvm, tcg or kvm:tcg, not 'hax'");
  EXPECT_NE(error_of({"-append", "x"}).find("needs --kernel"), std::string::npos);
  EXPECT_NE(error_of({"-m"}).find("needs a value"), std::string::npos);
  EXPECT_NE(error_of({"-nographic=1"}).find("takes no value"), std::string::npos);
  EXPECT_NE(error_of({"a.img", "b.img"}).find("more than one image"), std::string::npos);
  EXPECT_NE(error_of({""}).find("name of the image is empty"), std::string::npos);
  EXPECT_NE(error_of({"-hda", "a", "-drive", "file=b,index=0"}).find("place 0"), std::string::npos);
  EXPECT_NE(error_of({"-drive", "file=x,cache=fast"}).find("writethrough"), std::string::npos);
  EXPECT_NE(error_of({"-drive", "file=x,if=scsi2"}).find("use if=virtio"), std::string::npos);
}

TEST(CommandLine, InterruptControllersOfKvm) {
  const auto place = [](std::vector<std::string> arguments) {
    arguments.push_back("a.img");
    return parsed(arguments).kvm_chips;
  };
  EXPECT_FALSE(place({"-accel", "kvm"}));
  EXPECT_EQ(place({"-accel", "kvm,kernel-irqchip=off"}), ChipPlace::kUser);
  EXPECT_EQ(place({"-accel", "kvm,irqchip=user"}), ChipPlace::kUser);
  EXPECT_EQ(place({"-accel", "kvm,kernel-irqchip=on"}), ChipPlace::kKernel);
  EXPECT_EQ(place({"-accel", "kvm,irqchip=split"}), ChipPlace::kSplit);
  EXPECT_EQ(place({"-machine", "pc,accel=kvm,kernel_irqchip=split"}), ChipPlace::kSplit);
  EXPECT_EQ(place({"-machine", "pc,kernel_irqchip=on", "-enable-kvm"}), ChipPlace::kKernel);
  EXPECT_EQ(place({"-accel", "kvm,irqchip=split", "-accel", "tcg"}), ChipPlace::kSplit);
  EXPECT_EQ(parsed({"-accel", "kvm,irqchip=split", "-accel", "tcg", "a.img"}).engine,
            EngineChoice::kKvmOrTcg);
  EXPECT_NE(error_of({"-accel", "kvm,irqchip=some", "a.img"}).find("use kernel (or on), split"),
            std::string::npos);
  EXPECT_NE(error_of({"-accel", "tcg,irqchip=kernel", "a.img"}).find("only KVM"),
            std::string::npos);
}

TEST(CommandLine, PrintedConfigurationReadsBackEqual) {
  const MachineConfig before = parsed({"-m",
                                       "3G",
                                       "-smp",
                                       "3",
                                       "-hda",
                                       "a,b.img",
                                       "-cdrom",
                                       "x.iso",
                                       "-boot",
                                       "order=dc,menu=on",
                                       "-rtc",
                                       "base=2020-02-03T04:05:06",
                                       "-serial",
                                       "file:log.txt",
                                       "-debugcon",
                                       "null",
                                       "-no-reboot",
                                       "-snapshot",
                                       "-kernel",
                                       "K",
                                       "-append",
                                       "a=b \"c d\" # e",
                                       "-name",
                                       "x,debug=1",
                                       "--dump-block",
                                       "0x1000",
                                       "--perf-map",
                                       "-device",
                                       "isa-debug-exit,iobase=0xf4"});
  const std::string path = ::testing::TempDir() + "/emu_print_config_test";
  std::ofstream(path) << print_config(before);
  EXPECT_EQ(parsed({"--config", path}), before);
  EXPECT_EQ(parsed({"@" + path}), before);
  std::remove(path.c_str());
}

TEST(CommandLine, HelpMentionsEveryVisibleGroup) {
  auto line = parse_command_line(std::vector<std::string>{"--help"});
  ASSERT_TRUE(line);
  EXPECT_EQ(line->action, Action::kPrintText);
  for (const char* group : {"Machine", "Disks", "Starting", "Ending", "Looking inside"}) {
    EXPECT_NE(line->text.find(group), std::string::npos) << group;
  }
}

TEST(CommandLine, LaterOptionsOverrideEarlierOnes) {
  EXPECT_EQ(parsed({"-m", "512", "-m", "1G"}).memory_bytes, kGiB);
}

}  // namespace
}  // namespace emu::cli
