// SPDX-License-Identifier: Apache-2.0
// The options of `emu`: the one list of names, help texts and places where their words go.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "cli/option_names.h"

namespace emu::cli {

// What was said; everything is text until command_line.cpp interprets it.
struct Options {
  std::vector<std::string> images;
  std::string accel, cpu, cpus, memory, machine, name, rtc, uuid;
  std::string hd[4], fd[2];
  std::string cdrom, boot, kernel, initrd, append, firmware, vga_firmware;
  std::string display, vnc, audio, record, screenshot, after, vga, serial, debug_console, monitor,
      load, parallel, debug_exit;
  std::string on_reset, on_triple_fault, dump_block;
  std::vector<std::string> drives, disks, nics, netdevs, forwards, devices, translator;
  std::string capture;
  bool snapshot = false, full_screen = false, nographic = false, no_reboot = false,
       enable_kvm = false;
  bool nodefaults = false, one_insn = false, perf_map = false, counters = false;
  bool usb = false, quiet = false, print_config = false, version = false;
};

// Declares every option of `emu` to the parser, which will fill in `out`.
void declare_options(CLI::App& app, Options& out);

// The names the parser knows, with the further spellings of QEMU, for normalise_arguments().
[[nodiscard]] std::vector<OptionName> option_names(const CLI::App& app);

}  // namespace emu::cli
