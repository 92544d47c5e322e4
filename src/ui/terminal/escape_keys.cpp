// SPDX-License-Identifier: Apache-2.0
#include "ui/terminal/escape_keys.h"

namespace emu {

std::vector<EscapeKeys::Command> EscapeKeys::filter(std::span<const u8> typed,
                                                    std::vector<u8>& out) {
  std::vector<Command> commands;
  for (const u8 byte : typed) {
    if (escaped_) {
      escaped_ = false;
      after_escape(byte, out, commands);
    } else if (byte == kEscape) {
      escaped_ = true;
    } else {
      out.push_back(byte);
    }
  }
  return commands;
}

void EscapeKeys::after_escape(u8 byte, std::vector<u8>& out, std::vector<Command>& commands) {
  switch (byte) {
    case kEscape:
    case 'a':
      out.push_back(kEscape);
      break;
    case 'x':
      commands.push_back(Command::kQuit);
      break;
    case 'h':
    case '?':
      commands.push_back(Command::kHelp);
      break;
    case 'c':
      commands.push_back(Command::kMonitor);
      break;
    default:
      break;
  }
}

std::string_view EscapeKeys::help() {
  return "\r\n"
         "Ctrl-A h    this help\r\n"
         "Ctrl-A x    quit the emulator\r\n"
         "Ctrl-A c    to the monitor and back\r\n"
         "Ctrl-A a    send Ctrl-A to the guest\r\n";
}

}  // namespace emu
