// SPDX-License-Identifier: Apache-2.0
// Cables between two machines: what one sends, the other receives.
#include "net/socket_net.h"

#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>

#include "net/open_net.h"

namespace emu {
namespace {

using Frame = std::vector<u8>;

struct End final : NetReceiver {
  std::mutex lock;
  std::condition_variable changed;
  std::vector<Frame> frames;
  std::unique_ptr<NetBackend> net;

  void open(std::vector<std::pair<std::string, std::string>> values) {
    auto made = open_net({"socket", std::move(values)}, lock);
    ASSERT_TRUE(made) << made.error().message;
    net = std::move(*made);
    const std::lock_guard guard(lock);
    net->set_receiver(this);
    net->set_running(true);
  }
  ~End() override {
    const std::lock_guard guard(lock);
    if (net) net->set_receiver(nullptr);
  }
  bool receive(std::span<const u8> frame, const Offload&) override {
    frames.emplace_back(frame.begin(), frame.end());
    changed.notify_all();
    return true;
  }
  void send(const Frame& frame) {
    const std::lock_guard guard(lock);
    net->send(frame);
  }
  // Until a frame like this one is there; datagrams may be lost before both ends are.
  bool wait_for(const Frame& frame, End& from) {
    for (int i = 0; i < 100; ++i) {
      from.send(frame);
      std::unique_lock guard(lock);
      if (changed.wait_for(guard, std::chrono::milliseconds(200), [&] { return !frames.empty(); }))
        return frames.front() == frame;
    }
    return false;
  }
};

void expect_cable(End& a, End& b) {
  EXPECT_TRUE(a.wait_for(Frame(14, 1), b));
  EXPECT_TRUE(b.wait_for(Frame(9000, 2), a));
}

u16 free_port() {
  const UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  EXPECT_EQ(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), length), 0);
  ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &length);
  return ntohs(address.sin_port);
}

TEST(SocketNet, UnixStream) {
  const std::string path = "unix:" + testing::TempDir() + "socket_net_test";
  End a, b;
  a.open({{"listen", path}});
  b.open({{"connect", path}});
  expect_cable(a, b);
}

TEST(SocketNet, TcpStreamAndASecondPeerAfterTheFirst) {
  const std::string address = fmt::format("127.0.0.1:{}", free_port());
  End a;
  a.open({{"listen", address}});
  {
    End b;
    b.open({{"connect", address}});
    expect_cable(a, b);
  }
  {
    const std::lock_guard guard(a.lock);
    a.frames.clear();
  }
  End c;
  c.open({{"connect", address}});
  expect_cable(a, c);
}

TEST(SocketNet, UdpBothWays) {
  const std::string one = fmt::format("127.0.0.1:{}", free_port()),
                    two = fmt::format("127.0.0.1:{}", free_port());
  End a, b;
  a.open({{"udp", two}, {"localaddr", one}});
  b.open({{"udp", one}, {"localaddr", two}});
  expect_cable(a, b);
}

TEST(SocketNet, MulticastReachesOthersNotOneself) {
  const std::string group = fmt::format("239.192.7.7:{}", free_port());
  End a, b;
  a.open({{"mcast", group}});
  b.open({{"mcast", group}});
  EXPECT_TRUE(a.wait_for(Frame(60, 1), b));
  EXPECT_TRUE(b.wait_for(Frame(60, 2), a)) << "and nothing of its own";
}

TEST(SocketNet, MistakesAreSentences) {
  std::mutex lock;
  for (const auto& [name, value] :
       std::vector<std::pair<std::string, std::string>>{{"listen", "x"},
                                                        {"listen", "unix:"},
                                                        {"mcast", "10.0.0.1:5"},
                                                        {"udp", "127.0.0.1:5"},
                                                        {"localaddr", "127.0.0.1:5"},
                                                        {"fd", "3"}}) {
    EXPECT_FALSE(check_net_options({"socket", {{name, value}}})) << name << "=" << value;
  }
  const auto nobody = open_net({"socket", {{"connect", "unix:/nonexistent"}}}, lock);
  ASSERT_FALSE(nobody);
  EXPECT_NE(nobody.error().message.find("listen="), std::string::npos) << nobody.error().message;
}

TEST(SocketNet, APeerThatIsNoNetworkIsDropped) {
  const u16 port = free_port();
  End a;
  a.open({{"listen", fmt::format("127.0.0.1:{}", port)}});
  const UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(::send(fd.get(), "GET / HTTP/1.0\r\n\r\n", 18, 0), 18);
  char byte = 0;
  EXPECT_LE(::recv(fd.get(), &byte, 1, 0), 0) << "it hangs up";
}

}  // namespace
}  // namespace emu
