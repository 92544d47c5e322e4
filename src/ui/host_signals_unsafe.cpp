// SPDX-License-Identifier: Apache-2.0
// Source: signalfd(2), eventfd(2), pthread_sigmask(3), signal(7).
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <utility>

#include "ui/host_signals.h"
#include "ui/terminal/raw_terminal.h"

namespace emu {
namespace {

sigset_t listened_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGCONT}) sigaddset(&set, number);
  return set;
}

}  // namespace

HostSignals::HostSignals() {
  sigset_t set = listened_signals();
  signals_.reset(::signalfd(-1, &set, SFD_CLOEXEC));
  stop_.reset(::eventfd(0, EFD_CLOEXEC));
  sigaddset(&set, SIGPIPE);
  // SAFETY: only the mask of this thread changes; no handler is installed.
  if (signals_ && stop_) pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

HostSignals::~HostSignals() {
  if (!thread_.joinable()) return;
  ::eventfd_write(stop_.get(), 1);
  thread_.join();
}

void HostSignals::listen(std::function<void(int)> quit, std::function<void()> continued) {
  quit_ = std::move(quit);
  continued_ = std::move(continued);
  if (signals_ && stop_) thread_ = std::thread([this] { loop(); });
}

void HostSignals::loop() {
  for (;;) {
    pollfd waiting[2] = {{signals_.get(), POLLIN, 0}, {stop_.get(), POLLIN, 0}};
    if (::poll(waiting, 2, -1) < 0) continue;
    if (waiting[1].revents != 0) return;
    signalfd_siginfo info;
    if (::read(signals_.get(), &info, sizeof info) == sizeof info) {
      handle(static_cast<int>(info.ssi_signo));
    }
  }
}

void HostSignals::handle(int number) {
  if (number == SIGCONT) {
    if (continued_) continued_();
    return;
  }
  if (std::exchange(asked_, true)) {
    restore_terminal_now();
    ::_exit(128 + number);
  }
  if (quit_) quit_(number);
}

}  // namespace emu
