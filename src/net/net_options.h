// SPDX-License-Identifier: Apache-2.0
// Which network a card is on, as the user wrote it: a kind and its settings.
// Source: qemu(1), "Network options", for the names people know.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/types.h"

namespace emu {

struct NetOptions {
  std::string kind = "user";
  std::vector<std::pair<std::string, std::string>> values;  // in the order given; names may repeat

  // The last value of `name`, or empty.
  [[nodiscard]] std::string value(std::string_view name) const;
  bool operator==(const NetOptions&) const = default;
};

// An IPv4 or IPv6 address and a port, of TCP or UDP.
struct NetEndpoint {
  std::string address;  // numeric; empty: the default one
  u16 port = 0;
};

// One host port that leads into the guest.
struct PortForward {
  bool udp = false;
  NetEndpoint host;   // default 127.0.0.1
  NetEndpoint guest;  // default: the guest's first DHCP address
};

// "2222:22", "127.0.0.1:8080:80/tcp", "[::1]:8080:[fec0::5]:80", "5353:53/udp", and QEMU's
// "tcp::2222-:22", "udp:127.0.0.1:5353-10.0.2.15:53". Without an address the host listens on
// 127.0.0.1 only. Errors: a sentence that shows the form wanted.
[[nodiscard]] Result<PortForward> parse_port_forward(std::string_view text);

// A kind and its settings, as in "user,hostfwd=tcp::2222-:22"; ",," is a comma in a value, and a
// setting without a value is on. "id" is left out.
[[nodiscard]] NetOptions parse_net_words(std::string_view text);

// "on", "yes", "true", "1" and their opposites.
[[nodiscard]] Result<bool> parse_switch(std::string_view name, std::string_view text);
// A decimal number in [low, high].
[[nodiscard]] Result<u64> parse_net_number(std::string_view name, std::string_view text, u64 low,
                                           u64 high);

// Bits a second, 1000 to 10^12, with or without k, M or G (and "bit") behind it: "10M".
[[nodiscard]] Result<u64> parse_rate(std::string_view text);
// A time up to ten seconds in nanoseconds, from "20ms", "1.5s", "300us" or milliseconds: "20".
[[nodiscard]] Result<u64> parse_delay_ns(std::string_view text);

// Whether open_net() would understand the options; nothing of the host is touched. Errors: an
// unknown kind or setting, a bad value.
[[nodiscard]] Result<void> check_net_options(const NetOptions& options);

}  // namespace emu
