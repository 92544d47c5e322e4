// SPDX-License-Identifier: Apache-2.0
#include "net/net_options.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <mutex>

#include "base/unique_fd.h"
#include "net/open_net.h"
#include "net/slirp_net.h"

namespace emu {
namespace {

void expect_forward(const char* text, bool udp, const char* host, u16 host_port, const char* guest,
                    u16 guest_port) {
  const auto forward = parse_port_forward(text);
  ASSERT_TRUE(forward) << text << ": " << forward.error().message;
  EXPECT_EQ(forward->udp, udp) << text;
  EXPECT_EQ(forward->host.address, host) << text;
  EXPECT_EQ(forward->host.port, host_port) << text;
  EXPECT_EQ(forward->guest.address, guest) << text;
  EXPECT_EQ(forward->guest.port, guest_port) << text;
}

TEST(PortForward, EverySpelling) {
  expect_forward("2222:22", false, "", 2222, "", 22);
  expect_forward("127.0.0.1:8080:80/tcp", false, "127.0.0.1", 8080, "", 80);
  expect_forward("5353:53/udp", true, "", 5353, "", 53);
  expect_forward("0.0.0.0:8080:10.0.2.20:80", false, "0.0.0.0", 8080, "10.0.2.20", 80);
  expect_forward("[::1]:8080:[fec0::5]:80", false, "::1", 8080, "fec0::5", 80);
  expect_forward("tcp::2222-:22", false, "", 2222, "", 22);
  expect_forward("udp:127.0.0.1:5353-10.0.2.15:53", true, "127.0.0.1", 5353, "10.0.2.15", 53);
}

TEST(PortForward, MistakesAreSentences) {
  for (const char* text : {"", ":", "22", "2222:", ":22", "0:22", "2222:0", "70000:22", "a:b",
                           "1:2:3", "1.2.3:80:80", "2222:22/sctp", "tcp::2222", "tcp::2222:22",
                           "2222:22:", "[::1]:80", "[::1:80:80", "[::1]:8080:80"}) {
    const auto forward = parse_port_forward(text);
    ASSERT_FALSE(forward) << text;
    EXPECT_NE(forward.error().message.find("port forward"), std::string::npos) << text;
  }
}

NetOptions user(std::vector<std::pair<std::string, std::string>> values) {
  return {"user", std::move(values)};
}

TEST(NetOptions, UserNetworkAddressesFollowTheNetwork) {
  const auto config = UserNetConfig::parse(user({{"net", "192.168.76.0/24"}}));
  ASSERT_TRUE(config);
  EXPECT_EQ(ntohl(config->host.s_addr), 0xc0a84c02u);
  EXPECT_EQ(ntohl(config->dns.s_addr), 0xc0a84c03u);
  EXPECT_EQ(ntohl(config->dhcp_start.s_addr), 0xc0a84c0fu);
  EXPECT_EQ(ntohl(config->mask.s_addr), 0xffffff00u);
}

TEST(NetOptions, BadSettingsAreSentences) {
  const std::pair<const char*, const char*> bad[] = {{"net", "10.0.2"},
                                                     {"net", "10.0.2.0/33"},
                                                     {"host", "192.168.1.1"},
                                                     {"dns", "10.0.2.2"},
                                                     {"restrict", "maybe"},
                                                     {"hostfwd", "x"},
                                                     {"guestfwd", "10.0.2.9:80"},
                                                     {"guestfwd", "1.1.1.1:80-cmd:cat"},
                                                     {"ipv6-net", "fec0::/48"},
                                                     {"colour", "blue"},
                                                     {"rate", "fast"},
                                                     {"delay", "100000"},
                                                     {"guestfwd", "tcp:10.0.2.2:80-cmd:cat"}};
  for (const auto& [name, value] : bad) {
    EXPECT_FALSE(check_net_options(user({{name, value}}))) << name << "=" << value;
  }
  EXPECT_FALSE(check_net_options({"carrier-pigeon", {}}));
  EXPECT_TRUE(
      check_net_options(user({{"guestfwd", "tcp:10.0.2.9:80-cmd:cat"}, {"rate", "1000000"}})));
}

// A listening socket on a free port of the loopback.
UniqueFd listener(u16& port) {
  UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  EXPECT_EQ(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), length), 0);
  EXPECT_EQ(::listen(fd.get(), 1), 0);
  ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &length);
  port = ntohs(address.sin_port);
  return fd;
}

TEST(SlirpNet, PortInUseIsASentence) {
  u16 port = 0;
  const UniqueFd taken = listener(port);
  std::mutex lock;
  const auto net = open_net(user({{"hostfwd", fmt::format("{}:22", port)}}), lock);
  ASSERT_FALSE(net);
  EXPECT_NE(net.error().message.find("in use"), std::string::npos) << net.error().message;
  EXPECT_NE(net.error().message.find(std::to_string(port)), std::string::npos);
}

TEST(SlirpNet, ForeignAddressIsASentence) {
  std::mutex lock;
  const auto net = open_net(user({{"hostfwd", "192.0.2.1:8080:80"}}), lock);
  ASSERT_FALSE(net);
  EXPECT_NE(net.error().message.find("no such address"), std::string::npos) << net.error().message;
}

TEST(NetOptions, RatesAndDelaysHaveUnits) {
  EXPECT_EQ(*parse_rate("10M"), 10'000'000u);
  EXPECT_EQ(*parse_rate("1.5Gbit"), 1'500'000'000u);
  EXPECT_EQ(*parse_rate("64k"), 64'000u);
  EXPECT_EQ(*parse_rate("5000"), 5000u);
  EXPECT_EQ(*parse_delay_ns("20ms"), 20'000'000u);
  EXPECT_EQ(*parse_delay_ns("20"), 20'000'000u);
  EXPECT_EQ(*parse_delay_ns("1.5s"), 1'500'000'000u);
  EXPECT_EQ(*parse_delay_ns("300us"), 300'000u);
  for (const char* bad : {"", "M", "10Q", "10 M", "-1", "1e9", "999", "2000G", "nan"}) {
    EXPECT_FALSE(parse_rate(bad)) << bad;
  }
  for (const char* bad : {"", "ms", "20min", "11s", "-1ms", "inf"}) {
    EXPECT_FALSE(parse_delay_ns(bad)) << bad;
  }
}

TEST(NetOptions, WordsOfANetwork) {
  const NetOptions words = parse_net_words("user,id=u,hostfwd=tcp::1-:2,tftp=a,,b,restrict");
  EXPECT_EQ(words.kind, "user");
  const NetOptions same{"user", {{"hostfwd", "tcp::1-:2"}, {"tftp", "a,b"}, {"restrict", "on"}}};
  EXPECT_EQ(words, same);
  EXPECT_EQ(parse_net_words("type=tap,br=br0").kind, "tap");
}

TEST(NetOptions, HubsAndPasst) {
  EXPECT_TRUE(check_net_options({"hubport", {{"hubid", "1"}, {"uplink", "user,restrict=on"}}}));
  EXPECT_FALSE(check_net_options({"hubport", {{"hubid", "256"}}}));
  EXPECT_FALSE(check_net_options({"hubport", {{"uplink", "hubport,hubid=1"}}}));
  EXPECT_FALSE(check_net_options({"hubport", {{"uplink", "user,colour=blue"}}}));
  EXPECT_TRUE(check_net_options({"passt", {{"tcp-ports", "2222:22"}}}));
  EXPECT_FALSE(check_net_options({"passt", {{"colour", "blue"}}}));
  EXPECT_TRUE(check_net_options({"tap", {{"queues", "4"}}}));
  EXPECT_FALSE(check_net_options({"tap", {{"queues", "0"}}}));
}

}  // namespace
}  // namespace emu
