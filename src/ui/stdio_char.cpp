// SPDX-License-Identifier: Apache-2.0
// Source: poll(2), termios(3), isatty(3).
#include "ui/stdio_char.h"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace emu {
namespace {

constexpr std::size_t kPipeBacklogBytes = 4096;       // then the pipe is left alone
constexpr std::size_t kTerminalBacklogBytes = 65536;  // then typing is dropped

// A background process that reads its terminal is stopped; with these blocked it gets EIO instead.
void block_job_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : {SIGTTIN, SIGTTOU}) sigaddset(&set, number);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
}

std::span<const u8> bytes_of(std::string_view text) {
  return {reinterpret_cast<const u8*>(text.data()), text.size()};
}

}  // namespace

StdioChar::StdioChar(const Options& options) : options_(options), output_(options.output_fd) {}

StdioChar::~StdioChar() {
  stop();
}

void StdioChar::start(MachineControl& control) {
  control_ = &control;
  const std::lock_guard lock(terminal_mutex_);
  terminal_ = std::make_unique<RawTerminal>(
      options_.input_fd, options_.signals_to_guest ? RawTerminal::Signals::kGoToGuest
                                                   : RawTerminal::Signals::kStayHere);
  input_is_terminal_ = ::isatty(options_.input_fd) == 1;
  wake_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (options_.monitor_only) switch_monitor();
  thread_ = std::thread([this] { read_loop(); });
}

void StdioChar::stop() {
  if (thread_.joinable()) {
    stop_ = true;
    ::eventfd_write(wake_.get(), 1);
    thread_.join();
  }
  output_.flush();
  const std::lock_guard lock(terminal_mutex_);
  terminal_.reset();
}

void StdioChar::continued() {
  const std::lock_guard lock(terminal_mutex_);
  if (terminal_) terminal_->reapply();
}

void StdioChar::receiver_ready() {
  if (pending_.empty() || delivering_) return;
  deliver();
  if (reader_waits_ && pending_.size() < kPipeBacklogBytes) {
    reader_waits_ = false;
    ::eventfd_write(wake_.get(), 1);
  }
}

void StdioChar::deliver() {
  if (receiver_ == nullptr) {
    pending_.clear();  // nobody will ever read it
    return;
  }
  delivering_ = true;
  while (!pending_.empty()) {
    const std::size_t count = std::min(receiver_->can_receive(), pending_.size());
    if (count == 0) break;
    receiver_->receive(std::span(pending_).first(count));
    pending_.erase(pending_.begin(), pending_.begin() + static_cast<std::ptrdiff_t>(count));
  }
  delivering_ = false;
}

bool StdioChar::wants_input() {
  if (input_is_terminal_) return true;
  const MachineLock lock = control_->lock();
  reader_waits_ = pending_.size() >= kPipeBacklogBytes;
  return !reader_waits_;
}

void StdioChar::read_loop() {
  block_job_signals();
  while (!stop_ && read_some()) {
  }
}

bool StdioChar::read_some() {
  const short events = wants_input() ? POLLIN : 0;
  std::array<pollfd, 2> waiting{
      {{events != 0 ? options_.input_fd : -1, events, 0}, {wake_.get(), POLLIN, 0}}};
  if (::poll(waiting.data(), waiting.size(), -1) < 0) return errno == EINTR;
  if (waiting[1].revents != 0) {
    eventfd_t ignored;
    ::eventfd_read(wake_.get(), &ignored);
  }
  if (waiting[0].revents == 0 || stop_) return true;
  std::array<u8, kPipeBacklogBytes> buffer;
  const ssize_t count = ::read(options_.input_fd, buffer.data(), buffer.size());
  if (count > 0) {
    take_input(std::span(buffer).first(static_cast<std::size_t>(count)));
    return true;
  }
  if (count < 0 && errno == EIO && input_is_terminal_) {  // in the background: look again later
    pollfd stop_only{wake_.get(), POLLIN, 0};
    ::poll(&stop_only, 1, 500);
    return (waiting[0].revents & POLLHUP) == 0;
  }
  return count < 0 && (errno == EINTR || errno == EAGAIN);
}

void StdioChar::take_input(std::span<const u8> typed) {
  std::vector<u8> bytes;
  for (const u8 byte : typed) {
    if (!options_.escapes) {
      bytes.push_back(byte);
      continue;
    }
    const auto commands = escapes_.filter({&byte, 1}, bytes);
    if (commands.empty()) continue;
    pass_on(bytes);  // what was typed before the command
    bytes.clear();
    run_commands(commands);
  }
  pass_on(bytes);
}

void StdioChar::pass_on(std::span<const u8> bytes) {
  if (bytes.empty()) return;
  if (in_monitor_) {
    monitor_->type(bytes);
  } else {
    send_to_guest(bytes);
  }
}

void StdioChar::send_to_guest(std::span<const u8> bytes) {
  const MachineLock lock = control_->lock();
  const std::size_t room = kTerminalBacklogBytes - std::min(pending_.size(), kTerminalBacklogBytes);
  bytes = bytes.first(std::min(bytes.size(), room));
  pending_.insert(pending_.end(), bytes.begin(), bytes.end());
  deliver();
}

void StdioChar::run_commands(const std::vector<EscapeKeys::Command>& commands) {
  for (const EscapeKeys::Command command : commands) {
    if (command == EscapeKeys::Command::kQuit) control_->request_quit();
    if (command == EscapeKeys::Command::kHelp) output_.send(bytes_of(EscapeKeys::help()));
    if (command == EscapeKeys::Command::kMonitor && !options_.monitor_only) switch_monitor();
  }
}

void StdioChar::switch_monitor() {
  in_monitor_ = !in_monitor_;
  if (!in_monitor_) return output_.send(bytes_of("\r\n"));
  if (monitor_ == nullptr) {
    const auto style =
        input_is_terminal_ ? MonitorConsole::Style::kTyped : MonitorConsole::Style::kScript;
    monitor_ = std::make_unique<MonitorConsole>(
        *control_, style, [this](std::string_view text) { output_.send(bytes_of(text)); });
  }
  monitor_->open();
}

}  // namespace emu
