// SPDX-License-Identifier: Apache-2.0
// Raw terminal mode and its restoration on every exit path.
// Source: termios(3), tty_ioctl(4), signal-safety(7), atexit(3).
// Not handled: SIGKILL, and SIGSEGV, which belongs to the execution engine; its last resort is
// abort(), which is handled.
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <cstring>

#include "ui/terminal/raw_terminal.h"

namespace emu {
namespace {

// SAFETY: a signal handler reaches only statics. `saved_fd` is -1 unless `saved_mode` is complete;
// both are written before the handler is installed, by the one live RawTerminal.
termios saved_mode;
const char* saved_farewell = "";
std::atomic<int> saved_fd{-1};

// SAFETY: restore_terminal_now(), signal() and raise() are async-signal-safe.
void restore_and_abort(int number) {
  restore_terminal_now();
  ::signal(number, SIG_DFL);
  ::raise(number);
}

// A terminal that is not our controlling one (-1) has no background.
bool in_background(int fd) {
  const pid_t foreground = ::tcgetpgrp(fd);
  return foreground >= 0 && foreground != ::getpgrp();
}

void restore_at_exit() {
  restore_terminal_now();
}

}  // namespace

void restore_terminal_now() noexcept {
  const int fd = saved_fd.exchange(-1);
  if (fd < 0) return;
  // SAFETY: write, strlen and tcsetattr are async-signal-safe (POSIX.1-2017, 2.4.3).
  const std::size_t length = std::strlen(saved_farewell);
  if (length != 0 && ::write(fd, saved_farewell, length) < 0) {
    // The terminal is gone; its mode no longer matters either.
  }
  ::tcsetattr(fd, TCSANOW, &saved_mode);
}

TerminalSize terminal_size(int fd) {
  winsize size{};
  // SAFETY: TIOCGWINSZ fills the struct it is given.
  if (::ioctl(fd, TIOCGWINSZ, &size) != 0 || size.ws_col == 0 || size.ws_row == 0) return {};
  return {size.ws_col, size.ws_row};
}

RawTerminal::RawTerminal(int fd, Signals signals, const char* farewell) : fd_(fd) {
  termios mode;
  if (::tcgetattr(fd, &mode) != 0 || in_background(fd)) return;
  saved_mode = mode;
  saved_farewell = farewell;
  mode.c_iflag &=
      ~static_cast<tcflag_t>(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
  mode.c_lflag &= ~static_cast<tcflag_t>(ECHO | ECHONL | ICANON | IEXTEN);
  if (signals == Signals::kGoToGuest) mode.c_lflag &= ~static_cast<tcflag_t>(ISIG);
  mode.c_cflag = (mode.c_cflag & ~static_cast<tcflag_t>(CSIZE | PARENB)) | CS8;
  mode.c_cc[VMIN] = 1;
  mode.c_cc[VTIME] = 0;
  raw_ = mode;  // output processing stays on: our own messages end lines in a plain LF
  saved_fd = fd;
  ::signal(SIGABRT, restore_and_abort);
  std::atexit(restore_at_exit);
  active_ = ::tcsetattr(fd, TCSANOW, &raw_) == 0;
}

RawTerminal::~RawTerminal() {
  if (active_) restore_terminal_now();
}

void RawTerminal::reapply() {
  if (active_ && !in_background(fd_)) ::tcsetattr(fd_, TCSANOW, &raw_);
}

}  // namespace emu
