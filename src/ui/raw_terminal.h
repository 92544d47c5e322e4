// SPDX-License-Identifier: Apache-2.0
// A terminal in raw mode for as long as the object lives.
#pragma once

#include <termios.h>

namespace emu {

// Bytes arrive as typed, without echo. The old mode comes back in the destructor, in exit(), and
// when the process aborts; restore_terminal_now() serves paths that skip all three.
// At most one object at a time: a process has one controlling terminal.
class RawTerminal {
 public:
  enum class Signals : bool {
    kGoToGuest,  // Ctrl-C is a byte
    kStayHere,   // Ctrl-C interrupts the emulator
  };
  // Does nothing if `fd` is no terminal, or this process is in its background.
  RawTerminal(int fd, Signals signals);
  ~RawTerminal();
  RawTerminal(const RawTerminal&) = delete;
  RawTerminal& operator=(const RawTerminal&) = delete;

  // Whether the terminal is ours and raw.
  [[nodiscard]] bool active() const { return active_; }
  // Sets the mode again after the process was stopped and continued.
  void reapply();

 private:
  int fd_;
  bool active_ = false;
  termios raw_{};
};

// Restores the terminal that is raw now, if any. Safe in signal handlers and from any thread.
void restore_terminal_now() noexcept;

}  // namespace emu
