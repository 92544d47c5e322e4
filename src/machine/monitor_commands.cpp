// SPDX-License-Identifier: Apache-2.0
#include "machine/monitor_commands.h"

#include <array>

#include "machine/machine.h"
#include "machine/network_commands.h"
#include "machine/snapshot_file.h"

namespace emu {
namespace {

using Words = std::span<const std::string>;
using Answer = Result<std::string>;

std::string status(Machine& machine) {
  double seconds = 0;
  {
    const MachineLock lock = machine.lock();
    seconds = static_cast<double>(machine.clock().now_ns()) / 1e9;
  }
  const char* const what = machine.finished() ? "ended" : (machine.paused() ? "paused" : "running");
  return fmt::format("{}: {}, {:.3f} s of guest time, engine {}, {} processors\n",
                     machine.guest_name(), what, seconds, machine.engine_name(),
                     machine.pc().processors().size());
}

std::string register_lines(unsigned index, const CpuState& s) {
  constexpr std::array kNames{"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                              "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};
  constexpr std::array kSegments{"es", "cs", "ss", "ds", "fs", "gs"};
  std::string out = fmt::format("cpu{}: rip {:016x} rflags {:08x}, ring {}{}\n", index, s.rip,
                                s.rflags, s.cpl(), s.smm ? ", SMM" : "");
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    out += fmt::format("{:>5} {:016x}{}", kNames[i], s.gpr[i], i % 4 == 3 ? "\n" : "");
  }
  for (std::size_t i = 0; i < kSegments.size(); ++i) {
    const Segment& segment = s.segments[i];
    out += fmt::format("{:>5} {:04x} base {:016x} limit {:08x} attributes {:04x}\n", kSegments[i],
                       segment.selector, segment.base, segment.limit, segment.attributes);
  }
  out += fmt::format("  gdt base {:016x} limit {:04x}, idt base {:016x} limit {:04x}\n",
                     s.gdtr.base, s.gdtr.limit, s.idtr.base, s.idtr.limit);
  return out + fmt::format("  cr0 {:08x} cr2 {:016x} cr3 {:016x} cr4 {:08x} efer {:04x}\n", s.cr0,
                           s.cr2, s.cr3, s.cr4, s.efer);
}

// The processors' registers; they stand still meanwhile.
std::string registers(Machine& machine) {
  const bool was_running = machine.wants_to_run();
  machine.pause();
  machine.wait_paused();
  std::string out;
  for (auto& processor : machine.pc().processors()) {
    CpuState state;
    processor->vcpu().state(state);
    out += register_lines(processor->index(), state);
  }
  if (was_running) machine.resume();
  return out;
}

std::string drives(Machine& machine) {
  std::string out;
  for (const std::string& drive : machine.drive_lines()) out += drive + "\n";
  return out.empty() ? "no disks\n" : out;
}

Answer info(Machine& machine, Words words) {
  const std::string topic = words.empty() ? "" : words[0];
  if (topic == "status") return status(machine);
  if (topic == "registers") return registers(machine);
  if (topic == "block") return drives(machine);
  if (topic == "network") return describe_networks(machine);
  if (topic == "jit") return machine.engine_counters();
  return fail("info takes one of: status, registers, block, network, jit");
}

Answer save(Machine& machine, Words words) {
  if (words.size() != 1) return fail("save takes the name of a file");
  const auto size = save_to_file(machine, words[0]);
  if (!size) return size.error();
  return fmt::format("saved {} MiB to {}\n", (*size + kMiB - 1) / kMiB, words[0]);
}

Answer suspend(Machine& machine, Words words) {
  if (words.size() != 1) return fail("suspend takes the name of a file");
  machine.pause();  // nothing may happen between saving and the end
  machine.wait_paused();
  auto saved = save(machine, words);
  if (!saved) {
    machine.resume();
    return saved;
  }
  machine.request_quit();
  return *saved + "emu --load FILE with the same other options goes on from there\n";
}

Answer load(Machine& machine, Words words) {
  if (words.size() != 1) return fail("load takes the name of a file");
  EMU_TRY(load_from_file(machine, words[0]));
  return std::string();
}

// eject [-f] DRIVE.
Answer eject(Machine& machine, Words words) {
  const bool force = !words.empty() && words[0] == "-f";
  if (force) words = words.subspan(1);
  if (words.size() != 1) return fail("eject takes the name of a drive: see info block");
  EMU_TRY(machine.change_medium(words[0], "", force));
  return std::string();
}

// change [-f] DRIVE FILE.
Answer change(Machine& machine, Words words) {
  const bool force = !words.empty() && words[0] == "-f";
  if (force) words = words.subspan(1);
  if (words.size() != 2)
    return fail("change takes the name of a drive (see info block) and a file");
  EMU_TRY(machine.change_medium(words[0], words[1], force));
  return std::string();
}

}  // namespace

std::vector<ControlCommand> machine_commands(Machine& machine) {
  Machine* const m = &machine;
  const auto simple = [m](void (Machine::*action)()) {
    return [m, action](Words) -> Answer {
      (m->*action)();
      return std::string();
    };
  };
  return {
      {"info", "status|registers|block|network|jit", "Show something of the machine",
       [m](Words words) { return info(*m, words); }},
      {"stop", "", "Pause the machine", simple(&Machine::pause)},
      {"cont", "", "Let a paused machine run on", simple(&Machine::resume)},
      {"system_reset", "", "Press the reset button", simple(&Machine::reset)},
      {"system_powerdown", "", "Press the power button; the guest decides",
       simple(&Machine::press_power_button)},
      {"save", "FILE", "Write the machine's state to a file and go on",
       [m](Words words) { return save(*m, words); }},
      {"suspend", "FILE", "Write the machine's state to a file and quit",
       [m](Words words) { return suspend(*m, words); }},
      {"eject", "[-f] DRIVE", "Take the disc or floppy out of a drive; -f: even if it is locked",
       [m](Words words) { return eject(*m, words); }},
      {"change", "[-f] DRIVE FILE", "Put another disc or floppy into a drive",
       [m](Words words) { return change(*m, words); }},
      {"load", "FILE", "Go on from a saved state", [m](Words words) { return load(*m, words); }},
      {"quit", "", "End at once; disks are flushed", simple(&Machine::request_quit)},
  };
}

}  // namespace emu
