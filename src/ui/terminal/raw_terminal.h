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
  // `farewell` is written to the terminal before the old mode comes back, on every path (to leave
  // an alternate screen, say); a string literal.
  RawTerminal(int fd, Signals signals, const char* farewell = "");
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

// Columns and rows of a terminal; 80x25 if `fd` does not tell.
struct TerminalSize {
  unsigned columns = 80;
  unsigned rows = 25;
  bool operator==(const TerminalSize&) const = default;
};
[[nodiscard]] TerminalSize terminal_size(int fd);

// Restores the terminal that is raw now, if any. Safe in signal handlers and from any thread.
void restore_terminal_now() noexcept;

}  // namespace emu
