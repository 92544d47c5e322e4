// SPDX-License-Identifier: Apache-2.0
#include "net/open_net.h"

#include "net/passt_net.h"
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

// Where a network is to be opened; with no lock, it is only looked at.
struct Place {
  std::mutex* lock = nullptr;
  Hubs* hubs = nullptr;
};

// Parses, and opens if there is a lock.
template <class Config, class Open>
Result<std::unique_ptr<NetBackend>> open_as(const NetOptions& options, const Place& place,
                                            const Open& open) {
  const auto config = Config::parse(options);
  if (!config) return config.error();
  if (place.lock == nullptr) return std::unique_ptr<NetBackend>();
  return as_backend(open(*config, *place.lock));
}

Result<std::unique_ptr<NetBackend>> open_hub_port(const HubConfig& config, std::mutex& lock,
                                                  Hubs& hubs) {
  std::shared_ptr<Hub>& hub = hubs[config.id];
  if (hub == nullptr) hub = Hub::create();
  std::unique_ptr<NetBackend> out = hub->plug(lock);
  for (const NetOptions& uplink : config.uplinks) {
    auto opened = open_net(uplink, lock, hubs);
    if (!opened) return opened;
    out = with_uplink(std::move(out), hub->plug(lock), std::move(*opened), lock);
  }
  return out;
}

// "rate" and "delay".
Result<LineShape> parse_shape(const NetOptions& options) {
  LineShape out;
  if (const std::string text = options.value("rate"); !text.empty()) {
    const auto rate = parse_rate(text);
    if (!rate) return rate.error();
    out.bits_per_second = *rate;
  }
  if (const std::string text = options.value("delay"); !text.empty()) {
    const auto delay = parse_delay_ns(text);
    if (!delay) return delay.error();
    out.delay_ns = *delay;
  }
  return out;
}

// What the decorators understand; the rest is the network's.
bool is_decoration(std::string_view name) {
  return name == "rate" || name == "delay" || name == "capture";
}

Result<std::unique_ptr<NetBackend>> open_or_check(const NetOptions& options, const Place& place) {
  const std::string& kind = options.kind;
  if (kind == "user") return open_as<UserNetConfig>(options, place, SlirpNet::create);
  if (kind == "tap" || kind == "bridge") return open_as<TapConfig>(options, place, TapNet::create);
  if (kind == "socket") return open_as<SocketConfig>(options, place, SocketNet::create);
  if (kind == "passt") return open_as<PasstConfig>(options, place, open_passt);
  if (kind == "hubport") {
    return open_as<HubConfig>(options, place, [&](const HubConfig& config, std::mutex& lock) {
      return open_hub_port(config, lock, *place.hubs);
    });
  }
  if (kind == "null") return std::unique_ptr<NetBackend>(std::make_unique<NullNet>());
  return fail(
      "there is no network '{}'; user, tap, bridge, socket, passt, hubport, null and none exist",
      kind);
}

NetOptions undecorated(NetOptions options) {
  std::erase_if(options.values, [](const auto& pair) { return is_decoration(pair.first); });
  return options;
}

}  // namespace

Result<void> check_net_options(const NetOptions& options) {
  if (const auto shape = parse_shape(options); !shape) return shape.error();
  if (const auto done = open_or_check(undecorated(options), {}); !done) return done.error();
  return {};
}

Result<std::unique_ptr<NetBackend>> open_net(const NetOptions& options, std::mutex& machine_lock,
                                             Hubs& hubs) {
  const auto shape = parse_shape(options);
  if (!shape) return shape.error();
  auto net = open_or_check(undecorated(options), {&machine_lock, &hubs});
  if (!net) return net;
  if (shape->bits_per_second != 0 || shape->delay_ns != 0) {
    *net = std::make_unique<Shaper>(*shape, std::move(*net), machine_lock);
  }
  if (const std::string path = options.value("capture"); !path.empty()) {
    return as_backend(PcapngCapture::create(path, std::move(*net)));
  }
  return net;
}

Result<std::unique_ptr<NetBackend>> open_net(const NetOptions& options, std::mutex& machine_lock) {
  Hubs hubs;
  return open_net(options, machine_lock, hubs);
}

}  // namespace emu
