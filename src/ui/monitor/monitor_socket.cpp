// SPDX-License-Identifier: Apache-2.0
#include "ui/monitor/monitor_socket.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "ui/monitor/monitor_console.h"

namespace emu {
namespace {

// A client that does not read for this long is cut off: it must not hold up the end of the machine.
constexpr timeval kSendPatience{1, 0};

void send_all(int client, std::string_view text) {
  while (!text.empty()) {
    const ssize_t sent = ::send(client, text.data(), text.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) {  // it went away, or does not read
      ::shutdown(client, SHUT_RDWR);
      return;
    }
    text.remove_prefix(static_cast<std::size_t>(sent));
  }
}

}  // namespace

Result<std::unique_ptr<MonitorSocket>> MonitorSocket::create(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) {
    return fail("--monitor unix:{}: the path must have 1 to {} characters", path,
                sizeof address.sun_path - 1);
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  UniqueFd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  UniqueFd wake(::eventfd(0, EFD_CLOEXEC));
  if (!listener || !wake) return fail_errno(errno, "cannot make a socket for --monitor");
  // The mode of the unbound socket becomes the mode of its file: nobody else may ever open it.
  if (::fchmod(listener.get(), 0600) != 0) {
    return fail_errno(errno, "cannot keep {} to this user", path);
  }
  if (::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return fail_errno(errno, "cannot listen on {} (remove the file if no other emu uses it)", path);
  }
  if (::listen(listener.get(), 4) != 0) return fail_errno(errno, "cannot listen on {}", path);
  return std::unique_ptr<MonitorSocket>(
      new MonitorSocket(path, std::move(listener), std::move(wake)));
}

MonitorSocket::MonitorSocket(std::string path, UniqueFd listener, UniqueFd wake)
    : path_(std::move(path)), listener_(std::move(listener)), wake_(std::move(wake)) {}

MonitorSocket::~MonitorSocket() {
  stop();
  ::unlink(path_.c_str());
}

void MonitorSocket::start(MachineControl& control) {
  thread_ = std::thread([this, &control] { serve(control); });
}

void MonitorSocket::stop() {
  if (!thread_.joinable()) return;
  ::eventfd_write(wake_.get(), 1);
  thread_.join();
}

bool MonitorSocket::wait(int fd) {
  std::array<pollfd, 2> waiting{{{fd, POLLIN, 0}, {wake_.get(), POLLIN, 0}}};
  while (::poll(waiting.data(), waiting.size(), -1) < 0 && errno == EINTR) {
  }
  return waiting[1].revents == 0;
}

void MonitorSocket::serve(MachineControl& control) {
  while (wait(listener_.get())) {
    const UniqueFd client(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (client) serve_client(control, client.get());
  }
}

void MonitorSocket::serve_client(MachineControl& control, int client) {
  ::setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &kSendPatience, sizeof kSendPatience);
  MonitorConsole console(control, MonitorConsole::Style::kScript,
                         [client](std::string_view text) { send_all(client, text); });
  console.open();
  std::array<u8, 4096> buffer;
  while (wait(client)) {
    const ssize_t count = ::recv(client, buffer.data(), buffer.size(), 0);
    if (count <= 0) return;
    console.type(std::span(buffer).first(static_cast<std::size_t>(count)));
  }
}

}  // namespace emu
