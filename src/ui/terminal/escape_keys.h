// SPDX-License-Identifier: Apache-2.0
// The Ctrl-A commands of a console on this terminal.
// Source: the keys everybody knows from QEMU (qemu-system-x86(1), "mux") and screen(1).
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "base/types.h"

namespace emu {

// Splits typed bytes into those for the guest and commands. Ctrl-A x: quit; h or ?: help; c: to
// the monitor and back; Ctrl-A Ctrl-A or Ctrl-A a: one Ctrl-A for the guest; anything else:
// nothing.
class EscapeKeys {
 public:
  enum class Command : u8 { kQuit, kHelp, kMonitor };
  static constexpr u8 kEscape = 0x01;  // Ctrl-A

  // Appends the guest's bytes to `out` and returns the commands in the order they were typed.
  std::vector<Command> filter(std::span<const u8> typed, std::vector<u8>& out);
  // What Ctrl-A h prints; lines end in CR LF.
  [[nodiscard]] static std::string_view help();

 private:
  void after_escape(u8 byte, std::vector<u8>& out, std::vector<Command>& commands);
  bool escaped_ = false;
};

}  // namespace emu
