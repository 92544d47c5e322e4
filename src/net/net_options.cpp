// SPDX-License-Identifier: Apache-2.0
#include "net/net_options.h"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <initializer_list>
#include <optional>

namespace emu {
namespace {

constexpr std::string_view kForm =
    "it is HOSTPORT:GUESTPORT, HOSTADDRESS:HOSTPORT:GUESTPORT, or either with /tcp or /udp behind "
    "it, as in 2222:22";

bool is_address(const std::string& text) {
  in6_addr scratch{};
  return ::inet_pton(AF_INET, text.c_str(), &scratch) == 1 ||
         ::inet_pton(AF_INET6, text.c_str(), &scratch) == 1;
}

bool parse_port(std::string_view text, u16& port) {
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, port);
  return error == std::errc() && rest == end && port != 0;
}

// "ADDRESS:PORT", ":PORT" or "PORT" with an IPv6 address in brackets.
bool parse_endpoint(std::string_view text, NetEndpoint& out) {
  const std::size_t colon = text.rfind(':');
  if (colon != std::string_view::npos) {
    std::string_view address = text.substr(0, colon);
    if (address.size() > 1 && address.front() == '[' && address.back() == ']') {
      address = address.substr(1, address.size() - 2);
    }
    out.address = address;
    if (!out.address.empty() && !is_address(out.address)) return false;
    text.remove_prefix(colon + 1);
  }
  return parse_port(text, out.port);
}

// Cuts "...:PORT" or "...:[ADDRESS]:PORT" off the end of text; what is left is the host's part.
std::string_view cut_guest(std::string_view& text) {
  std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return {};
  if (colon > 0 && text[colon - 1] == ']') {  // the guest's address too
    const std::size_t bracket = text.rfind('[', colon);
    if (bracket == std::string_view::npos || bracket < 2 || text[bracket - 1] != ':') return {};
    // "[::1]:80" alone would be the host's address, not the guest's.
    colon = bracket - 1;
  } else if (std::count(text.begin(), text.end(), '.') == 6) {
    colon = text.rfind(':', colon - 1);  // ADDRESS:PORT:ADDRESS:PORT
    if (colon == std::string_view::npos) return {};
  }
  const std::string_view guest = text.substr(colon + 1);
  text = text.substr(0, colon);
  return guest;
}

struct Unit {
  std::string_view name;
  double factor;
};

// Digits, perhaps with a fraction, and a unit.
std::optional<double> parse_with_unit(std::string_view text, std::initializer_list<Unit> units) {
  double value = 0;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value, std::chars_format::fixed);
  if (error != std::errc()) return std::nullopt;
  const std::string_view unit(rest, static_cast<std::size_t>(end - rest));
  for (const Unit& known : units) {
    if (known.name == unit) return value * known.factor;
  }
  return std::nullopt;
}

}  // namespace

std::string NetOptions::value(std::string_view name) const {
  const auto it = std::find_if(values.rbegin(), values.rend(),
                               [name](const auto& pair) { return pair.first == name; });
  return it == values.rend() ? std::string() : it->second;
}

Result<PortForward> parse_port_forward(std::string_view text) {
  PortForward out;
  const std::string whole(text);
  const auto bad = [&whole] { return fail("'{}' is no port forward; {}", whole, kForm); };
  std::string_view guest;
  if (text.starts_with("tcp:") || text.starts_with("udp:")) {  // as QEMU has it
    out.udp = text.starts_with("udp:");
    text.remove_prefix(4);
    const std::size_t dash = text.find('-');
    if (dash == std::string_view::npos) return bad();
    guest = text.substr(dash + 1);
    text = text.substr(0, dash);
  } else {
    if (const std::size_t slash = text.find('/'); slash != std::string_view::npos) {
      const std::string_view protocol = text.substr(slash + 1);
      if (protocol != "tcp" && protocol != "udp") return bad();
      out.udp = protocol == "udp";
      text = text.substr(0, slash);
    }
    guest = cut_guest(text);
  }
  if (!parse_endpoint(text, out.host) || !parse_endpoint(guest, out.guest)) return bad();
  const bool host6 = out.host.address.find(':') != std::string::npos;
  const bool guest6 = out.guest.address.find(':') != std::string::npos;
  if (host6 != guest6) {
    return fail("port forward '{}': host and guest address must both be IPv4 or both IPv6", whole);
  }
  return out;
}

NetOptions parse_net_words(std::string_view text) {
  NetOptions out;
  std::vector<std::string> words(1);
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != ',') {
      words.back() += text[i];
    } else if (i + 1 < text.size() && text[i + 1] == ',') {
      words.back() += ',';
      ++i;
    } else {
      words.emplace_back();
    }
  }
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::size_t equals = words[i].find('=');
    const std::string name = words[i].substr(0, equals);
    const std::string value = equals == std::string::npos ? "on" : words[i].substr(equals + 1);
    if (i == 0) {
      out.kind = equals == std::string::npos ? name : value;
    } else if (name != "id") {
      out.values.emplace_back(name, value);
    }
  }
  return out;
}

Result<u64> parse_rate(std::string_view text) {
  const auto number = parse_with_unit(text, {{"", 1},
                                             {"bit", 1},
                                             {"k", 1e3},
                                             {"K", 1e3},
                                             {"kbit", 1e3},
                                             {"M", 1e6},
                                             {"Mbit", 1e6},
                                             {"G", 1e9},
                                             {"Gbit", 1e9}});
  if (number && *number >= 1e3 && *number <= 1e12) return static_cast<u64>(*number);
  return fail("network setting rate is bits a second from 1k to 1000G, as in 10M, not '{}'", text);
}

Result<u64> parse_delay_ns(std::string_view text) {
  const auto number = parse_with_unit(text, {{"", 1e6}, {"ms", 1e6}, {"s", 1e9}, {"us", 1e3}});
  if (number && *number >= 0 && *number <= 1e10) return static_cast<u64>(*number);
  return fail("network setting delay is a time from 0 to 10s, as in 20ms, not '{}'", text);
}

Result<bool> parse_switch(std::string_view name, std::string_view text) {
  if (text == "on" || text == "yes" || text == "true" || text == "1" || text == "y") return true;
  if (text == "off" || text == "no" || text == "false" || text == "0" || text == "n") return false;
  return fail("network setting {} is on or off, not '{}'", name, text);
}

Result<u64> parse_net_number(std::string_view name, std::string_view text, u64 low, u64 high) {
  u64 value = 0;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value);
  if (error == std::errc() && rest == end && value >= low && value <= high) return value;
  return fail("network setting {} is a number from {} to {}, not '{}'", name, low, high, text);
}

}  // namespace emu
