// SPDX-License-Identifier: Apache-2.0
#include "net/slirp_net.h"

#include <arpa/inet.h>
#include <sys/resource.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <utility>

#include "base/bits.h"
#include "base/log.h"
#include "net/offload.h"

namespace emu {
namespace {

constexpr std::size_t kEthernetMtu = 1500;
// What the library may send as one segment when the card takes large ones. Less than the 64 KiB
// window that it offers, so that several are on their way at once.
constexpr u16 kLargeSegment = 16060;
constexpr u32 kEthernetHeader = 14;
// Segments of the library: small enough that several fit into its window of 64 KiB.
constexpr std::size_t kLibraryMtu = 16100;

// A connection of the library costs a descriptor and, for TCP, 256 KiB of buffers: a guest gets no
// more than this many at once.
constexpr std::size_t kMostSockets = 2048;
// Descriptors for everything else in the process.
constexpr rlim_t kOtherDescriptors = 1024;

// Many hosts start programs with a limit of 1024 descriptors; up to the hard limit a program may
// help itself. Returns how many sockets the library may have.
std::size_t allow_descriptors() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return kMostSockets / 4;
  const rlim_t wanted = kMostSockets + kOtherDescriptors;
  if (limit.rlim_cur < wanted) {
    limit.rlim_cur = std::min(wanted, limit.rlim_max);
    static_cast<void>(::setrlimit(RLIMIT_NOFILE, &limit));
    static_cast<void>(::getrlimit(RLIMIT_NOFILE, &limit));
  }
  return limit.rlim_cur < wanted ? limit.rlim_cur / 2 : kMostSockets;
}

// Whether the library may open a socket for the frame.
bool may_open_socket(std::span<const u8> frame) {
  const FrameLayout layout = layout_of(frame);
  if (layout.version == 0) return false;
  if (!layout.is_tcp()) return true;
  return (frame[layout.transport + 13u] & 0x12) == 0x02;  // SYN without ACK
}

i64 now_ns() {
  return std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds(1);
}

const char* text_or_null(const std::string& text) {
  return text.empty() ? nullptr : text.c_str();
}

sockaddr_storage socket_address(const NetEndpoint& endpoint, const char* fallback,
                                socklen_t& length) {
  sockaddr_storage out{};
  const std::string text = endpoint.address.empty() ? fallback : endpoint.address;
  if (text.find(':') != std::string::npos) {
    sockaddr_in6 six{};
    six.sin6_family = AF_INET6;
    six.sin6_port = htons(endpoint.port);
    ::inet_pton(AF_INET6, text.c_str(), &six.sin6_addr);
    std::memcpy(&out, &six, sizeof six);
    length = sizeof six;
  } else {
    sockaddr_in four{};
    four.sin_family = AF_INET;
    four.sin_port = htons(endpoint.port);
    ::inet_pton(AF_INET, text.c_str(), &four.sin_addr);
    std::memcpy(&out, &four, sizeof four);
    length = sizeof four;
  }
  return out;
}

constexpr std::pair<int, short> kEvents[] = {{SLIRP_POLL_IN, POLLIN},
                                             {SLIRP_POLL_OUT, POLLOUT},
                                             {SLIRP_POLL_PRI, POLLPRI},
                                             {SLIRP_POLL_ERR, POLLERR},
                                             {SLIRP_POLL_HUP, POLLHUP}};

}  // namespace

// The library's one kind of timer: router advertisements.
struct SlirpNet::RouterTimer {
  SlirpNet* owner;
  SlirpTimerId id;
  void* argument;
  i64 deadline_ms = -1;
};

const SlirpCb& SlirpNet::callbacks() {
  static const SlirpCb table = [] {
    SlirpCb out{};
    out.send_packet = [](const void* data, size_t length, void* self) -> ssize_t {
      static_cast<SlirpNet*>(self)->frame_from_library({static_cast<const u8*>(data), length});
      return static_cast<ssize_t>(length);
    };
    out.guest_error = [](const char* text, void*) { log(LogLevel::kDebug, "net", "{}", text); };
    out.clock_get_ns = [](void*) -> int64_t { return now_ns(); };
    out.timer_free = [](void* timer, void* self) {
      auto* owned = static_cast<RouterTimer*>(timer);
      std::erase(static_cast<SlirpNet*>(self)->timers_, owned);
      delete owned;
    };
    out.timer_mod = [](void* timer, int64_t deadline_ms, void*) {
      static_cast<RouterTimer*>(timer)->deadline_ms = deadline_ms;
    };
    out.register_poll_fd = [](int fd, void* self) {
      static_cast<SlirpNet*>(self)->sockets_.insert(fd);
    };
    out.unregister_poll_fd = [](int fd, void* self) {
      static_cast<SlirpNet*>(self)->sockets_.erase(fd);
    };
    out.notify = [](void*) {};  // comes from the thread itself, which polls next
    out.init_completed = [](Slirp*, void*) {};
    out.timer_new_opaque = [](SlirpTimerId id, void* argument, void* self) -> void* {
      auto* owner = static_cast<SlirpNet*>(self);
      owner->timers_.push_back(new RouterTimer{owner, id, argument});
      return owner->timers_.back();
    };
    return out;
  }();
  return table;
}

Result<std::unique_ptr<SlirpNet>> SlirpNet::create(const UserNetConfig& config,
                                                   std::mutex& machine_lock) {
  std::unique_ptr<SlirpNet> net(new SlirpNet(machine_lock));
  EMU_TRY(net->open(config));
  net->start_thread("emu-net");
  return net;
}

SlirpNet::~SlirpNet() {
  stop_thread();
  if (slirp_ != nullptr) slirp_cleanup(slirp_);
}

Result<void> SlirpNet::open(const UserNetConfig& config) {
  std::vector<const char*> search;
  for (const std::string& domain : config.search_domains) search.push_back(domain.c_str());
  search.push_back(nullptr);
  SlirpConfig c{};
  c.version = 4;
  c.restricted = config.restricted ? 1 : 0;
  c.in_enabled = config.ipv4;
  c.vnetwork = config.network;
  c.vnetmask = config.mask;
  c.vhost = config.host;
  c.in6_enabled = config.ipv6;
  c.vprefix_addr6 = config.prefix6;
  c.vprefix_len = config.prefix6_bits;
  c.vhost6 = config.host6;
  c.vhostname = text_or_null(config.host_name);
  c.tftp_server_name = text_or_null(config.tftp_server_name);
  c.tftp_path = text_or_null(config.tftp_folder);
  c.bootfile = text_or_null(config.boot_file);
  c.vdhcp_start = config.dhcp_start;
  c.vnameserver = config.dns;
  c.vnameserver6 = config.dns6;
  c.vdnssearch = config.search_domains.empty() ? nullptr : search.data();
  c.vdomainname = text_or_null(config.domain);
  c.if_mtu = kLibraryMtu;
  c.if_mru = kLibraryMtu;
  most_sockets_ = allow_descriptors();
  slirp_ = slirp_new(&c, &callbacks(), this);
  if (slirp_ == nullptr) return fail("the user network could not be set up; check its settings");
  for (const PortForward& forward : config.forwards) EMU_TRY(add_forward(forward));
  for (const GuestForward& forward : config.guest_forwards) EMU_TRY(add_guest_forward(forward));
  return {};
}

Result<void> SlirpNet::add_forward(const PortForward& forward) {
  socklen_t host_length = 0, guest_length = 0;
  const auto host = socket_address(forward.host, "127.0.0.1", host_length);
  const auto guest = socket_address(forward.guest, "0.0.0.0", guest_length);
  const int flags = forward.udp ? SLIRP_HOSTFWD_UDP : 0;
  if (slirp_add_hostxfwd(slirp_, reinterpret_cast<const sockaddr*>(&host), host_length,
                         reinterpret_cast<const sockaddr*>(&guest), guest_length, flags) == 0) {
    return {};
  }
  const int error = errno;
  const std::string where =
      fmt::format("{} port {} of {}", forward.udp ? "UDP" : "TCP", forward.host.port,
                  forward.host.address.empty() ? "127.0.0.1" : forward.host.address);
  if (error == EADDRINUSE) {
    return fail("{} is in use by another program; forward another port, as in -p {}:{}", where,
                forward.host.port < 60000 ? forward.host.port + 1 : 2222, forward.guest.port);
  }
  if (error == EACCES) {
    return fail("{} is reserved for root; forward a port above 1023, as in -p {}:{}", where,
                forward.host.port + 8000, forward.guest.port);
  }
  if (error == EADDRNOTAVAIL) {
    return fail("{} cannot be forwarded: this host has no such address (see: ip address)", where);
  }
  return fail_errno(error, "{} cannot be forwarded", where);
}

Result<void> SlirpNet::add_guest_forward(const GuestForward& forward) {
  in_addr address = forward.address;
  const int status = forward.is_command
                         ? slirp_add_exec(slirp_, forward.target.c_str(), &address, forward.port)
                         : slirp_add_unix(slirp_, forward.target.c_str(), &address, forward.port);
  if (status >= 0) return {};
  return fail("the guest forward of port {} to {} was refused: address and port are taken",
              forward.port, forward.target);
}

void SlirpNet::before_poll(std::vector<pollfd>& descriptors, int& timeout_ms) {
  filling_ = &descriptors;
  u32 timeout = ~u32{0};
  slirp_pollfds_fill(
      slirp_, &timeout,
      [](int fd, int events, void* opaque) -> int {
        auto& self = *static_cast<SlirpNet*>(opaque);
        short wanted = 0;
        for (const auto& [theirs, ours] : kEvents) {
          if ((events & theirs) != 0) wanted = static_cast<short>(wanted | ours);
        }
        self.filling_->push_back({fd, wanted, 0});
        return static_cast<int>(self.filling_->size()) - 1;
      },
      this);
  for (const RouterTimer* timer : timers_) {
    if (timer->deadline_ms < 0) continue;
    const i64 left = std::max<i64>(timer->deadline_ms - now_ns() / 1'000'000, 0);
    timeout = static_cast<u32>(std::min<i64>(timeout, left));
  }
  if (timeout != ~u32{0}) timeout_ms = static_cast<int>(std::min(timeout, 1'000'000u));
}

void SlirpNet::after_poll(std::span<const pollfd> descriptors) {
  polled_ = descriptors;
  slirp_pollfds_poll(
      slirp_, 0,
      [](int index, void* opaque) -> int {
        const auto& self = *static_cast<SlirpNet*>(opaque);
        const auto at = static_cast<std::size_t>(index);
        if (index < 0 || at >= self.polled_.size()) return 0;
        int events = 0;
        for (const auto& [theirs, ours] : kEvents) {
          if ((self.polled_[at].revents & ours) != 0) events |= theirs;
        }
        return events;
      },
      this);
  forget_finished();
  const i64 now_ms = now_ns() / 1'000'000;
  for (RouterTimer* timer : std::vector(timers_)) {
    if (timer->deadline_ms < 0 || timer->deadline_ms > now_ms) continue;
    timer->deadline_ms = -1;
    slirp_handle_timer(slirp_, timer->id, timer->argument);
  }
}

// The library takes TCP segments of any size, and sends segments as large as its own MTU whatever
// MSS a connecting guest asked for (and as large as it asked for where the guest was connected to).
// So what the guest left to the card as one stays one.
void SlirpNet::transmit(std::span<u8> frame, const Offload& offload) {
  if (offload.segments != Offload::Segments::kNone) {
    finish_large(frame);
  } else {
    finish_checksum(frame, offload);
  }
  if (sockets_.size() >= most_sockets_ && may_open_socket(frame)) {
    if (!std::exchange(refused_before_, true)) {
      log(LogLevel::kWarning, "net",
          "the guest has {} connections open at once; new ones are refused until some end",
          sockets_.size());
    }
    return;
  }
  flows_.from_guest(frame, kLargeSegment);
  slirp_input(slirp_, frame.data(), static_cast<int>(frame.size()));
  forget_finished();
}

void SlirpNet::forget_finished() {
  for (std::vector<u8>& reset : flows_.take_resets()) {
    slirp_input(slirp_, reset.data(), static_cast<int>(reset.size()));
  }
}

void SlirpNet::frame_from_library(std::span<const u8> frame) {
  Offload offload;
  offload.checksum_valid = true;
  const bool fits = frame.size() <= kEthernetMtu + kEthernetHeader;
  const FrameLayout layout = layout_of(frame);
  const auto whole = static_cast<u16>(kEthernetMtu + kEthernetHeader - layout.payload);
  const u16 segment_bytes = flows_.segment_bytes(frame, layout, whole);
  flows_.from_library(frame, layout);
  if (fits && (!layout.is_tcp() || frame.size() - layout.payload <= segment_bytes)) {
    return incoming(frame, offload);
  }
  if (!layout.is_tcp()) {
    fragment(frame, kEthernetMtu, [&](std::span<const u8> piece) { incoming(piece, Offload{}); });
    return;
  }
  offload.segments = layout.version == 4 ? Offload::Segments::kTcp4 : Offload::Segments::kTcp6;
  offload.header_bytes = layout.payload;
  offload.segment_bytes = segment_bytes;
  offload.checksum_start = layout.transport;
  offload.checksum_offset = 16;
  incoming(frame, offload);
}

}  // namespace emu
