// SPDX-License-Identifier: Apache-2.0
#include <arpa/inet.h>

#include <charconv>

#include "net/slirp_net.h"

namespace emu {
namespace {

u32 to_host(in_addr address) {
  return ntohl(address.s_addr);
}

in_addr to_address(u32 value) {
  return {htonl(value)};
}

Result<in_addr> parse_ipv4(std::string_view name, const std::string& text) {
  in_addr out{};
  if (::inet_pton(AF_INET, text.c_str(), &out) == 1) return out;
  return fail("network setting {} is an IPv4 address such as 10.0.2.2, not '{}'", name, text);
}

Result<in6_addr> parse_ipv6(std::string_view name, const std::string& text) {
  in6_addr out{};
  if (::inet_pton(AF_INET6, text.c_str(), &out) == 1) return out;
  return fail("network setting {} is an IPv6 address such as fec0::2, not '{}'", name, text);
}

in6_addr with_last_byte(in6_addr prefix, u8 last) {
  prefix.s6_addr[15] = last;
  return prefix;
}

// Sets everything that follows from the network's address: .2 the host, .3 DNS, .15 the guest.
void set_network(UserNetConfig& config, u32 network, unsigned bits) {
  const u32 mask = ~u32{0} << (32 - bits);
  config.network = to_address(network & mask);
  config.mask = to_address(mask);
  config.host = to_address((network & mask) + 2);
  config.dns = to_address((network & mask) + 3);
  config.dhcp_start = to_address((network & mask) + 15);
}

Result<void> parse_network(const std::string& text, UserNetConfig& config) {
  const std::size_t slash = text.find('/');
  const auto address = parse_ipv4("net", text.substr(0, slash));
  if (!address) return address.error();
  u64 bits = 24;
  if (slash != std::string::npos) {
    const auto number = parse_net_number("net", text.substr(slash + 1), 8, 27);
    if (!number) return number.error();
    bits = *number;
  }
  set_network(config, to_host(*address), static_cast<unsigned>(bits));
  return {};
}

Result<void> parse_network6(const std::string& text, UserNetConfig& config) {
  const std::size_t slash = text.find('/');
  const auto prefix = parse_ipv6("ipv6-net", text.substr(0, slash));
  if (!prefix) return prefix.error();
  if (slash != std::string::npos && text.substr(slash + 1) != "64") {
    return fail("network setting ipv6-net has 64 bits of prefix, as in fec0::/64, not '{}'", text);
  }
  config.prefix6 = *prefix;
  config.host6 = with_last_byte(*prefix, 2);
  config.dns6 = with_last_byte(*prefix, 3);
  return {};
}

Result<GuestForward> parse_guest_forward(const std::string& text) {
  const auto bad = [&text] {
    return fail(
        "'{}' is no guest forward; it is ADDRESS:PORT-cmd:COMMAND or ADDRESS:PORT-unix:SOCKET, as "
        "in 10.0.2.100:80-cmd:cat",
        text);
  };
  std::string_view rest = text;
  if (rest.starts_with("tcp:")) rest.remove_prefix(4);
  const std::size_t dash = rest.find('-'), colon = rest.find(':');
  if (dash == std::string_view::npos || colon > dash) return bad();
  GuestForward out;
  const std::string_view port = rest.substr(colon + 1, dash - colon - 1);
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), out.port);
  if (::inet_pton(AF_INET, std::string(rest.substr(0, colon)).c_str(), &out.address) != 1 ||
      error != std::errc() || end != port.data() + port.size() || out.port == 0) {
    return bad();
  }
  const std::string_view target = rest.substr(dash + 1);
  if (target.starts_with("cmd:")) {
    out.target = target.substr(4);
  } else if (target.starts_with("unix:")) {
    out.is_command = false;
    out.target = target.substr(5);
  }
  if (out.target.empty()) return bad();
  return out;
}

template <class T>
Result<void> assign(Result<T> parsed, T& target) {
  if (!parsed) return parsed.error();
  target = *parsed;
  return {};
}

template <class T>
Result<void> append(Result<T> parsed, std::vector<T>& list) {
  if (!parsed) return parsed.error();
  list.push_back(std::move(*parsed));
  return {};
}

Result<void> parse_setting(const std::string& name, const std::string& text, UserNetConfig& c) {
  if (name == "net") return {};  // before the others
  if (name == "ipv6-net") return {};
  if (name == "restrict") return assign(parse_switch(name, text), c.restricted);
  if (name == "ipv4") return assign(parse_switch(name, text), c.ipv4);
  if (name == "ipv6") return assign(parse_switch(name, text), c.ipv6);
  if (name == "host") return assign(parse_ipv4(name, text), c.host);
  if (name == "dns") return assign(parse_ipv4(name, text), c.dns);
  if (name == "dhcpstart") return assign(parse_ipv4(name, text), c.dhcp_start);
  if (name == "ipv6-host") return assign(parse_ipv6(name, text), c.host6);
  if (name == "ipv6-dns") return assign(parse_ipv6(name, text), c.dns6);
  if (name == "hostfwd") return append(parse_port_forward(text), c.forwards);
  if (name == "guestfwd") return append(parse_guest_forward(text), c.guest_forwards);
  std::string* words = name == "hostname"           ? &c.host_name
                       : name == "domainname"       ? &c.domain
                       : name == "tftp"             ? &c.tftp_folder
                       : name == "bootfile"         ? &c.boot_file
                       : name == "tftp-server-name" ? &c.tftp_server_name
                                                    : nullptr;
  if (words != nullptr) {
    *words = text;
  } else if (name == "dnssearch") {
    c.search_domains.push_back(text);
  } else {
    return fail("a user network has no setting {}; docs/network.md lists them", name);
  }
  return {};
}

// The library checks these with assertions.
Result<void> check_addresses(const UserNetConfig& c) {
  const u32 mask = to_host(c.mask), network = to_host(c.network);
  const std::pair<const char*, in_addr> members[] = {
      {"host", c.host}, {"dns", c.dns}, {"dhcpstart", c.dhcp_start}};
  for (const auto& [name, address] : members) {
    if ((to_host(address) & mask) != network) {
      return fail("network setting {} is not inside the network; give net=ADDRESS/BITS as well",
                  name);
    }
  }
  if (c.host.s_addr == c.dns.s_addr) return fail("network settings host and dns are the same");
  for (const GuestForward& forward : c.guest_forwards) {
    const u32 address = to_host(forward.address);
    if ((address & mask) != network || address == to_host(c.host) || address == to_host(c.dns)) {
      return fail(
          "a guest forward's address must be one of the user network that nobody has, such as "
          "10.0.2.100");
    }
  }
  if (!c.ipv4 && !c.ipv6) return fail("a user network needs ipv4 or ipv6");
  return {};
}

}  // namespace

Result<UserNetConfig> UserNetConfig::parse(const NetOptions& options) {
  UserNetConfig out;
  set_network(out, 0x0a000200, 24);
  EMU_TRY(parse_network6("fec0::", out));
  if (const std::string net = options.value("net"); !net.empty()) EMU_TRY(parse_network(net, out));
  if (const std::string net = options.value("ipv6-net"); !net.empty()) {
    EMU_TRY(parse_network6(net, out));
  }
  for (const auto& [name, text] : options.values) EMU_TRY(parse_setting(name, text, out));
  EMU_TRY(check_addresses(out));
  return out;
}

}  // namespace emu
