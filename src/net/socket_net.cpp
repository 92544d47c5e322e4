// SPDX-License-Identifier: Apache-2.0
#include "net/socket_net.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/un.h>

#include <cerrno>
#include <chrono>
#include <cstring>

#include "base/bits.h"
#include "net/offload.h"

namespace emu {
namespace {

constexpr std::size_t kOutLimit = 4 * kMiB;
constexpr std::size_t kReadBytes = 256 * kKiB;
constexpr std::size_t kPrefix = 4;
constexpr int kRetryMs = 1000;

i64 now_ms() {
  return std::chrono::steady_clock::now().time_since_epoch() / std::chrono::milliseconds(1);
}

// "ADDRESS:PORT", ":PORT" or "PORT"; "localhost" is 127.0.0.1.
Result<NetEndpoint> parse_address(std::string_view name, std::string text) {
  NetEndpoint out{"127.0.0.1", 0};
  const std::string whole = text;
  if (const std::size_t colon = text.rfind(':'); colon != std::string::npos) {
    const std::string address = text.substr(0, colon);
    if (!address.empty() && address != "localhost") out.address = address;
    text = text.substr(colon + 1);
  }
  in_addr scratch{};
  const auto port = parse_net_number(name, text, 1, 65535);
  if (!port || ::inet_pton(AF_INET, out.address.c_str(), &scratch) != 1) {
    return fail("network setting {} is ADDRESS:PORT as in 127.0.0.1:1234, or unix:PATH, not '{}'",
                name, whole);
  }
  out.port = static_cast<u16>(*port);
  return out;
}

sockaddr_in ipv4(const NetEndpoint& endpoint) {
  sockaddr_in out{};
  out.sin_family = AF_INET;
  out.sin_port = htons(endpoint.port);
  ::inet_pton(AF_INET, endpoint.address.c_str(), &out.sin_addr);
  return out;
}

int set_on(int fd, int level, int option) {
  const int on = 1;
  return ::setsockopt(fd, level, option, &on, sizeof on);
}

}  // namespace

Result<SocketConfig> SocketConfig::parse(const NetOptions& options) {
  SocketConfig out;
  unsigned kinds = 0;
  for (const auto& [name, value] : options.values) {
    if (name == "localaddr") {
      const auto local =
          parse_address(name, value.find(':') == std::string::npos ? value + ":1" : value);
      if (!local) return local.error();
      out.local = *local;
      continue;
    }
    ++kinds;
    out.text = value;
    if (name == "listen" || name == "connect") {
      out.kind = name == "listen" ? Kind::kListen : Kind::kConnect;
      if (value.starts_with("unix:")) {
        out.path = value.substr(5);
        if (out.path.empty() || out.path.size() >= sizeof(sockaddr_un::sun_path)) {
          return fail("network setting {}: the socket's path has 1 to 107 letters", name);
        }
        continue;
      }
    } else if (name == "udp" || name == "mcast") {
      out.kind = name == "udp" ? Kind::kUdp : Kind::kMulticast;
    } else {
      return fail("a socket network has no setting {}; listen, connect, udp and mcast exist", name);
    }
    const auto peer = parse_address(name, value);
    if (!peer) return peer.error();
    out.peer = *peer;
  }
  if (kinds != 1) return fail("a socket network needs one of listen=, connect=, udp= and mcast=");
  if (out.kind == Kind::kUdp && out.local.port == 0) {
    return fail("a socket network with udp= needs localaddr=ADDRESS:PORT as well");
  }
  if (out.kind == Kind::kMulticast && !IN_MULTICAST(ntohl(ipv4(out.peer).sin_addr.s_addr))) {
    return fail("mcast= needs a multicast address such as 239.192.0.1:1234, not {}", out.text);
  }
  return out;
}

SocketNet::SocketNet(const SocketConfig& config, std::mutex& machine_lock)
    : HostNet(machine_lock), config_(config) {}

SocketNet::~SocketNet() {
  stop_thread();
  if (config_.kind == SocketConfig::Kind::kListen && !config_.path.empty() && listener_) {
    ::unlink(config_.path.c_str());
  }
}

Result<std::unique_ptr<SocketNet>> SocketNet::create(const SocketConfig& config,
                                                     std::mutex& machine_lock) {
  std::unique_ptr<SocketNet> net(new SocketNet(config, machine_lock));
  EMU_TRY(net->open());
  net->start_thread("emu-socket");
  return net;
}

std::unique_ptr<NetBackend> SocketNet::adopt(UniqueFd peer, std::mutex& machine_lock) {
  SocketConfig config;
  config.kind = SocketConfig::Kind::kGiven;
  std::unique_ptr<SocketNet> net(new SocketNet(config, machine_lock));
  net->peer_ = std::move(peer);
  net->start_thread("emu-socket");
  return net;
}

bool SocketNet::is_stream() const {
  return config_.kind != SocketConfig::Kind::kUdp && config_.kind != SocketConfig::Kind::kMulticast;
}

Result<void> SocketNet::open() {
  return is_stream() ? open_stream() : open_datagram();
}

Result<void> SocketNet::open_stream() {
  if (config_.path.empty()) {
    const sockaddr_in four = ipv4(config_.peer);
    std::memcpy(&address_, &four, sizeof four);
    address_bytes_ = sizeof four;
  } else {
    sockaddr_un local{};
    local.sun_family = AF_UNIX;
    std::memcpy(local.sun_path, config_.path.data(), config_.path.size());
    std::memcpy(&address_, &local, sizeof local);
    address_bytes_ = sizeof local;
  }
  UniqueFd fd(::socket(address_.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) return fail_errno(errno, "cannot make a socket");
  const auto* address = reinterpret_cast<const sockaddr*>(&address_);
  if (config_.kind == SocketConfig::Kind::kConnect) {
    if (::connect(fd.get(), address, address_bytes_) != 0) {
      return fail_errno(errno, "nobody answers at {}: start the machine with listen= first",
                        config_.text);
    }
    set_on(fd.get(), IPPROTO_TCP, TCP_NODELAY);
    peer_ = std::move(fd);
    return {};
  }
  set_on(fd.get(), SOL_SOCKET, SO_REUSEADDR);
  if (::bind(fd.get(), address, address_bytes_) != 0 || ::listen(fd.get(), 1) != 0) {
    if (errno == EADDRINUSE) {
      return fail("cannot listen on {}: it is in use (or a left-over socket file: remove it)",
                  config_.text);
    }
    return fail_errno(errno, "cannot listen on {}", config_.text);
  }
  listener_ = std::move(fd);
  return {};
}

Result<void> SocketNet::open_datagram() {
  UniqueFd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return fail_errno(errno, "cannot make a socket");
  const sockaddr_in peer = ipv4(config_.peer);
  std::memcpy(&address_, &peer, sizeof peer);
  address_bytes_ = sizeof peer;
  sockaddr_in local = peer;
  if (config_.kind == SocketConfig::Kind::kUdp) {
    local = ipv4(config_.local);
  } else {
    set_on(fd.get(), SOL_SOCKET, SO_REUSEADDR);
    ip_mreq group{};
    group.imr_multiaddr = peer.sin_addr;
    group.imr_interface.s_addr = htonl(INADDR_LOOPBACK);  // other hosts only if asked
    if (!config_.local.address.empty()) group.imr_interface = ipv4(config_.local).sin_addr;
    sender_.reset(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    sender_address_.sin_family = AF_INET;
    sender_address_.sin_addr = group.imr_interface;
    socklen_t bytes = sizeof sender_address_;
    auto* own = reinterpret_cast<sockaddr*>(&sender_address_);
    if (::setsockopt(fd.get(), IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof group) != 0 ||
        ::setsockopt(sender_.get(), IPPROTO_IP, IP_MULTICAST_IF, &group.imr_interface,
                     sizeof group.imr_interface) != 0 ||
        ::bind(sender_.get(), own, bytes) != 0 || ::getsockname(sender_.get(), own, &bytes) != 0) {
      return fail_errno(errno, "cannot join multicast group {}", config_.text);
    }
  }
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&local), sizeof local) != 0) {
    return fail_errno(errno, "cannot receive at {}:{}", config_.local.address,
                      ntohs(local.sin_port));
  }
  peer_ = std::move(fd);
  return {};
}

void SocketNet::before_poll(std::vector<pollfd>& descriptors, int& timeout_ms) {
  flush();
  if (peer_) {
    short events = incoming_full() ? short{0} : short{POLLIN};
    if (!out_.empty()) events = static_cast<short>(events | POLLOUT);
    descriptors.push_back({peer_.get(), events, 0});
  } else if (listener_) {
    descriptors.push_back({listener_.get(), POLLIN, 0});
  } else if (config_.kind == SocketConfig::Kind::kConnect) {
    timeout_ms = kRetryMs;
  }
}

void SocketNet::after_poll(std::span<const pollfd> descriptors) {
  if (descriptors.empty()) return connect_again();
  if (descriptors[0].fd == listener_.get()) {
    if (descriptors[0].revents != 0) accept_peer();
  } else if (peer_ && (descriptors[0].revents & (POLLIN | POLLHUP | POLLERR)) != 0) {
    is_stream() ? read_stream() : read_datagrams();
  }
}

void SocketNet::accept_peer() {
  peer_.reset(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (peer_) set_on(peer_.get(), IPPROTO_TCP, TCP_NODELAY);
}

void SocketNet::connect_again() {
  if (config_.kind != SocketConfig::Kind::kConnect) return;
  if (now_ms() < next_try_ms_) return;
  next_try_ms_ = now_ms() + kRetryMs;
  static_cast<void>(open_stream());
}

void SocketNet::drop_peer() {
  peer_.reset();
  in_.clear();
  out_.clear();
}

void SocketNet::read_stream() {
  const std::size_t before = in_.size();
  in_.resize(before + kReadBytes);
  const ssize_t got = ::recv(peer_.get(), &in_[before], kReadBytes, MSG_DONTWAIT);
  in_.resize(before + static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
  if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) return drop_peer();
  take_frames();
}

void SocketNet::take_frames() {
  std::size_t at = 0;
  while (in_.size() - at >= kPrefix) {
    const std::size_t length = load_be<u32>(&in_[at]);
    if (!is_frame_length(length)) return drop_peer();  // whoever this is, it is no network
    if (in_.size() - at - kPrefix < length) break;
    incoming(std::span(in_).subspan(at + kPrefix, length), Offload{});
    at += kPrefix + length;
  }
  in_.erase(in_.begin(), in_.begin() + static_cast<std::ptrdiff_t>(at));
}

void SocketNet::read_datagrams() {
  in_.resize(kMaxFrameBytes);
  while (!incoming_full()) {
    sockaddr_in from{};
    socklen_t bytes = sizeof from;
    const ssize_t got = ::recvfrom(peer_.get(), in_.data(), in_.size(), MSG_DONTWAIT,
                                   reinterpret_cast<sockaddr*>(&from), &bytes);
    if (got < 0) return;
    if (sender_ && from.sin_port == sender_address_.sin_port &&
        from.sin_addr.s_addr == sender_address_.sin_addr.s_addr) {
      continue;  // our own
    }
    incoming(std::span(in_).first(static_cast<std::size_t>(got)), Offload{});
  }
}

void SocketNet::transmit(std::span<u8> frame, const Offload& offload) {
  if (peer_) finish(frame, offload, [this](std::span<const u8> piece) { send_frame(piece); });
}

void SocketNet::send_frame(std::span<const u8> frame) {
  if (!is_stream()) {
    static_cast<void>(::sendto(sender_ ? sender_.get() : peer_.get(), frame.data(), frame.size(),
                               MSG_DONTWAIT, reinterpret_cast<const sockaddr*>(&address_),
                               address_bytes_));
    return;
  }
  if (out_.size() + frame.size() > kOutLimit) return;
  const std::size_t at = out_.size();
  out_.resize(at + kPrefix);
  store_be(&out_[at], static_cast<u32>(frame.size()));
  out_.insert(out_.end(), frame.begin(), frame.end());
}

void SocketNet::flush() {
  if (!peer_ || out_.empty()) return;
  const ssize_t sent = ::send(peer_.get(), out_.data(), out_.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent < 0 && errno != EAGAIN && errno != EINTR) return drop_peer();
  if (sent > 0) out_.erase(out_.begin(), out_.begin() + sent);
}

}  // namespace emu
