// SPDX-License-Identifier: Apache-2.0
#include "net/open_net.h"

#include "net/pcapng_capture.h"
#include "net/shaper.h"
#include "net/slirp_net.h"
#include "net/socket_net.h"
#include "net/tap_net.h"

namespace emu {
namespace {

template <class T>
Result<std::unique_ptr<NetBackend>> as_backend(Result<std::unique_ptr<T>> made) {
  if (!made) return made.error();
  return std::unique_ptr<NetBackend>(std::move(*made));
}

// Parses, and opens if there is a lock.
template <class Config, class Net>
Result<std::unique_ptr<NetBackend>> open_as(const NetOptions& options, std::mutex* lock) {
  const auto config = Config::parse(options);
  if (!config) return config.error();
  if (lock == nullptr) return std::unique_ptr<NetBackend>();
  return as_backend(Net::create(*config, *lock));
}

// "rate" and "delay".
Result<LineShape> parse_shape(const NetOptions& options) {
  LineShape out;
  if (const std::string text = options.value("rate"); !text.empty()) {
    const auto rate = parse_net_number("rate", text, 1000, 1'000'000'000'000);
    if (!rate) return rate.error();
    out.bits_per_second = *rate;
  }
  if (const std::string text = options.value("delay"); !text.empty()) {
    const auto delay = parse_net_number("delay", text, 0, 10'000);
    if (!delay) return delay.error();
    out.delay_ns = *delay * 1'000'000;
  }
  return out;
}

// What the decorators understand; the rest is the network's.
bool is_decoration(std::string_view name) {
  return name == "rate" || name == "delay" || name == "capture";
}

// With no lock, only looks at the options.
Result<std::unique_ptr<NetBackend>> open_or_check(const NetOptions& options, std::mutex* lock) {
  const std::string& kind = options.kind;
  if (kind == "user") return open_as<UserNetConfig, SlirpNet>(options, lock);
  if (kind == "tap" || kind == "bridge") return open_as<TapConfig, TapNet>(options, lock);
  if (kind == "socket") return open_as<SocketConfig, SocketNet>(options, lock);
  if (kind == "null") return std::unique_ptr<NetBackend>(std::make_unique<NullNet>());
  return fail("there is no network '{}'; user, tap, bridge, socket, null and none exist", kind);
}

NetOptions undecorated(NetOptions options) {
  std::erase_if(options.values, [](const auto& pair) { return is_decoration(pair.first); });
  return options;
}

}  // namespace

Result<void> check_net_options(const NetOptions& options) {
  if (const auto shape = parse_shape(options); !shape) return shape.error();
  if (const auto done = open_or_check(undecorated(options), nullptr); !done) return done.error();
  return {};
}

Result<std::unique_ptr<NetBackend>> open_net(const NetOptions& options, std::mutex& machine_lock) {
  const auto shape = parse_shape(options);
  if (!shape) return shape.error();
  auto net = open_or_check(undecorated(options), &machine_lock);
  if (!net) return net;
  if (shape->bits_per_second != 0 || shape->delay_ns != 0) {
    *net = std::make_unique<Shaper>(*shape, std::move(*net), machine_lock);
  }
  if (const std::string path = options.value("capture"); !path.empty()) {
    return as_backend(PcapngCapture::create(path, std::move(*net)));
  }
  return net;
}

}  // namespace emu
