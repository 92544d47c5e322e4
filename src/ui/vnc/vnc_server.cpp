// SPDX-License-Identifier: Apache-2.0
#include "ui/vnc/vnc_server.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <array>
#include <atomic>
#include <thread>

#include "base/log.h"
#include "ui/vnc/vnc_screen.h"

namespace emu {

// The serving thread and what it uses.
class VncServer::Session {
 public:
  Session(const VncAddress& address, int listener, MachineControl& control)
      : listener_(listener),
        wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
        screen_(control, address.password),
        thread_([this] { loop(); }) {}
  ~Session() {
    stop_ = true;
    const u64 one = 1;
    static_cast<void>(!::write(wake_.get(), &one, sizeof one));
    thread_.join();
  }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

 private:
  static constexpr int kFrameMs = 16;
  static constexpr unsigned kMostClients = 16;

  void loop() {
    while (!stop_) {
      // Nobody looks: sleep until somebody comes.
      const bool is_watched = screen_.client_count() != 0;
      std::array<pollfd, 2> waiting{{{listener_, POLLIN, 0}, {wake_.get(), POLLIN, 0}}};
      ::poll(waiting.data(), waiting.size(), is_watched ? 0 : -1);
      if (waiting[0].revents != 0) accept_client();
      if (!stop_ && screen_.client_count() != 0) screen_.serve(kFrameMs);
    }
  }

  void accept_client() {
    UniqueFd client(::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC));
    if (!client) return;
    if (screen_.client_count() >= kMostClients) {
      log(LogLevel::kWarning, "vnc", "a client was turned away: {} are connected", kMostClients);
      return;
    }
    screen_.add_client(std::move(client));
  }

  const int listener_;
  UniqueFd wake_;
  VncScreen screen_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

VncServer::VncServer(const VncAddress& address, UniqueFd listener)
    : address_(address), listener_(std::move(listener)) {}

VncServer::~VncServer() {
  stop();
}

Result<std::unique_ptr<VncServer>> VncServer::open(const VncAddress& address) {
  auto listener = listen_at(address);
  if (!listener) return listener.error();
  return std::unique_ptr<VncServer>(new VncServer(address, std::move(*listener)));
}

void VncServer::start(MachineControl& control) {
  session_ = std::make_unique<Session>(address_, listener_.get(), control);
}

void VncServer::stop() {
  session_.reset();
  if (listener_ && !address_.socket_path.empty()) ::unlink(address_.socket_path.c_str());
  listener_.reset();
}

}  // namespace emu
