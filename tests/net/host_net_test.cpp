// SPDX-License-Identifier: Apache-2.0
// The user network as a guest sees it: frames in, frames out.
#include "net/host_net.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <fstream>

#include "base/bits.h"
#include "base/unique_fd.h"
#include "net/hub.h"
#include "net/offload.h"
#include "net/open_net.h"

namespace emu {
namespace {

using Frame = std::vector<u8>;

// A card that keeps what it gets, and refuses once it has `room` frames.
class Card final : public NetReceiver {
 public:
  bool receive(std::span<const u8> frame, const Offload&) override {
    if (frames.size() >= room) return false;
    frames.emplace_back(frame.begin(), frame.end());
    changed.notify_all();
    return true;
  }
  std::vector<Frame> frames;
  std::size_t room = 1000;
  std::condition_variable changed;
};

// An ARP request of 10.0.2.15 for 10.0.2.`who`.
Frame arp_request(u8 who) {
  Frame f(42);
  std::fill_n(f.begin(), 6, u8{0xff});
  const u8 me[] = {0x52, 0x54, 0, 1, 2, 3};
  std::copy_n(me, 6, &f[6]);
  store_be(&f[12], u16{0x0806});
  store_be(&f[14], u16{1});
  store_be(&f[16], u16{0x0800});
  f[18] = 6;
  f[19] = 4;
  store_be(&f[20], u16{1});
  std::copy_n(me, 6, &f[22]);
  store_be(&f[28], u32{0x0a00020f});
  store_be(&f[38], u32{0x0a000200} + who);
  return f;
}

struct UserRig {
  std::mutex lock;
  Card card;
  std::unique_ptr<NetBackend> net;

  explicit UserRig(NetOptions options = {}) {
    options.values.emplace_back("ipv6", "off");  // no router advertisements among the frames
    auto made = open_net(options, lock);
    EXPECT_TRUE(made);
    net = std::move(*made);
    const std::lock_guard guard(lock);
    net->set_receiver(&card);
  }
  ~UserRig() {
    const std::lock_guard guard(lock);
    net->set_receiver(nullptr);
  }
  bool wait_for(std::size_t count) {
    std::unique_lock guard(lock);
    return card.changed.wait_for(guard, std::chrono::seconds(20),
                                 [&] { return card.frames.size() >= count; });
  }
  void send(const Frame& frame) {
    const std::lock_guard guard(lock);
    net->send(frame);
  }
};

TEST(UserNetwork, TheRouterAnswersArp) {
  UserRig rig;
  {
    const std::lock_guard guard(rig.lock);
    rig.net->set_running(true);
  }
  rig.send(arp_request(2));
  ASSERT_TRUE(rig.wait_for(1));
  const Frame& answer = rig.card.frames[0];
  EXPECT_EQ(load_be<u16>(&answer[20]), 2) << "a reply";
  EXPECT_EQ(load_be<u32>(&answer[28]), 0x0a000202u);
}

TEST(UserNetwork, NothingArrivesWhileTheMachineIsPausedAndNothingIsLost) {
  UserRig rig;
  rig.send(arp_request(2));
  rig.send(arp_request(3));
  {
    const std::lock_guard guard(rig.lock);
    EXPECT_TRUE(rig.card.frames.empty());
    rig.card.room = 1;
    rig.net->set_running(true);
  }
  ASSERT_TRUE(rig.wait_for(1));
  {
    const std::lock_guard guard(rig.lock);
    rig.card.room = 2;
    rig.net->receiver_ready();
  }
  ASSERT_TRUE(rig.wait_for(2));
  EXPECT_EQ(load_be<u32>(&rig.card.frames[1][28]), 0x0a000203u);
}

TEST(UserNetwork, HostileFramesAreSurvived) {
  UserRig rig;
  {
    const std::lock_guard guard(rig.lock);
    rig.net->set_running(true);
  }
  u64 state = 1;
  const auto random = [&state] {
    return state = state * 6364136223846793005u + 1442695040888963407u;
  };
  for (int i = 0; i < 20000; ++i) {
    Frame frame = arp_request(2);
    frame.resize(14 + (random() >> 40) % 200);
    const u16 type = (random() >> 33) % 2 == 0 ? u16{0x0800} : u16{0x86dd};
    store_be(&frame[12], type);
    for (std::size_t at = 14; at < frame.size(); ++at) frame[at] = static_cast<u8>(random() >> 56);
    if (frame.size() > 34) frame[14] = 0x45;
    rig.send(frame);
  }
  rig.send(arp_request(2));
  ASSERT_TRUE(rig.wait_for(1));
}

// UDP from 10.0.2.15:`port` to the host's port `to`, which opens a socket each.
Frame datagram(u16 port, u16 to) {
  Frame f(14 + 20 + 8 + 4);
  const u8 head[] = {0x52, 0x55, 10, 0, 2, 2, 0x52, 0x54, 0, 1, 2, 3, 8, 0, 0x45};
  std::copy_n(head, sizeof head, f.begin());
  store_be(&f[16], u16{32});
  f[22] = 64;
  f[23] = 17;
  store_be(&f[26], u32{0x0a00020f});
  store_be(&f[30], u32{0x0a000202});
  store_be(&f[24], fold_checksum(sum_words(std::span(f).subspan(14, 20))));
  store_be(&f[34], port);
  store_be(&f[36], to);
  store_be(&f[38], u16{12});
  return f;
}

std::ptrdiff_t open_descriptors() {
  return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {});
}

// A port of the host's where somebody listens and says nothing: a refusal would close sockets
// again.
class SilentPort {
 public:
  SilentPort() : socket_(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    address_.sin_family = AF_INET;
    address_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    auto* address = reinterpret_cast<sockaddr*>(&address_);
    socklen_t bytes = sizeof address_;
    EXPECT_EQ(::bind(socket_.get(), address, bytes), 0);
    EXPECT_EQ(::getsockname(socket_.get(), address, &bytes), 0);
  }
  [[nodiscard]] u16 number() const { return ntohs(address_.sin_port); }

 private:
  UniqueFd socket_;
  sockaddr_in address_{};
};

TEST(UserNetwork, AGuestOpensOnlySoManySockets) {
  const SilentPort silent;
  UserRig rig;
  {
    const std::lock_guard guard(rig.lock);
    rig.net->set_running(true);
  }
  const auto before = open_descriptors();
  rig.send(arp_request(2));
  for (unsigned port = 1; port < 6000; ++port)
    rig.send(datagram(static_cast<u16>(port), silent.number()));
  rig.send(arp_request(3));  // behind all that
  ASSERT_TRUE(rig.wait_for(2));
  EXPECT_GT(open_descriptors(), before + 100);
  EXPECT_LE(open_descriptors(), before + 2048);
}

TEST(Capture, FileHoldsWhatPassed) {
  const std::string path = testing::TempDir() + "capture_test.pcapng";
  {
    UserRig rig({"user", {{"capture", path}}});
    const std::lock_guard guard(rig.lock);
    rig.net->send(arp_request(2));
  }
  std::ifstream file(path, std::ios::binary);
  const Frame bytes((std::istreambuf_iterator<char>(file)), {});
  ASSERT_GE(bytes.size(), 28u + 32 + 32 + 44);
  EXPECT_EQ(load_le<u32>(&bytes[0]), 0x0a0d0d0au);
  EXPECT_EQ(load_le<u32>(&bytes[28]), 1u) << "interface description";
  const std::size_t packet = 28 + load_le<u32>(&bytes[32]);
  EXPECT_EQ(load_le<u32>(&bytes[packet]), 6u) << "enhanced packet";
  EXPECT_EQ(load_le<u32>(&bytes[packet + 20]), 42u);
  EXPECT_TRUE(std::equal(&bytes[packet + 28], &bytes[packet + 28] + 42, arp_request(2).begin()));
  std::remove(path.c_str());
}

TEST(Shaper, HoldsFramesBack) {
  UserRig rig({"user", {{"delay", "20"}}});
  {
    const std::lock_guard guard(rig.lock);
    rig.net->set_running(true);
  }
  const auto before = std::chrono::steady_clock::now();
  rig.send(arp_request(2));
  ASSERT_TRUE(rig.wait_for(1));
  EXPECT_GE(std::chrono::steady_clock::now() - before, std::chrono::milliseconds(40));
}

// A card of a machine with a lock of its own, on a hub.
struct HubRig {
  std::mutex lock;
  Card card;
  std::unique_ptr<NetBackend> net;

  explicit HubRig(Hub& hub) : net(hub.plug(lock)) {
    const std::lock_guard guard(lock);
    net->set_receiver(&card);
    net->set_running(true);
  }
  bool wait_for(std::size_t count) {
    std::unique_lock guard(lock);
    return card.changed.wait_for(guard, std::chrono::seconds(20),
                                 [&] { return card.frames.size() >= count; });
  }
  void send(const Frame& frame) {
    const std::lock_guard guard(lock);
    net->send(frame);
  }
};

TEST(Hub, EveryoneElseHearsThoughMachinesHaveTheirOwnLocks) {
  const auto hub = Hub::create();
  HubRig a(*hub), b(*hub), c(*hub);
  a.send(arp_request(2));
  ASSERT_TRUE(b.wait_for(1));
  ASSERT_TRUE(c.wait_for(1));
  b.send(arp_request(3));
  ASSERT_TRUE(a.wait_for(1));
  ASSERT_TRUE(c.wait_for(2));
  EXPECT_EQ(a.card.frames.size(), 1u) << "not its own";
  EXPECT_EQ(c.card.frames[0], arp_request(2));
  EXPECT_EQ(c.card.frames[1], arp_request(3));
}

TEST(Hub, ASlowCardHoldsNobodyUpAndLosesNothing) {
  const auto hub = Hub::create();
  HubRig a(*hub), slow(*hub), quick(*hub);
  {
    const std::lock_guard guard(slow.lock);
    slow.card.room = 0;
  }
  for (u8 i = 0; i < 200; ++i) a.send(arp_request(i));
  ASSERT_TRUE(quick.wait_for(200));
  {
    const std::lock_guard guard(slow.lock);
    slow.card.room = 1000;
    slow.net->receiver_ready();
  }
  ASSERT_TRUE(slow.wait_for(200));
  EXPECT_EQ(slow.card.frames[199], arp_request(199));
}

TEST(Hub, AnUplinkIsOnTheWireToo) {
  Hubs hubs;
  std::mutex lock;
  Card first, second;
  auto a = open_net({"hubport", {{"hubid", "3"}, {"uplink", "user,ipv6=off"}}}, lock, hubs);
  auto b = open_net({"hubport", {{"hubid", "3"}}}, lock, hubs);
  ASSERT_TRUE(a && b);
  {
    const std::lock_guard guard(lock);
    (*a)->set_receiver(&first);
    (*b)->set_receiver(&second);
    (*a)->set_running(true);
    (*b)->set_running(true);
    (*b)->send(arp_request(2));
  }
  std::unique_lock guard(lock);
  const auto heard = [&](Card& card, std::size_t count) {
    return card.changed.wait_for(guard, std::chrono::seconds(20),
                                 [&] { return card.frames.size() >= count; });
  };
  ASSERT_TRUE(heard(second, 1));
  EXPECT_EQ(load_be<u32>(&second.frames[0][28]), 0x0a000202u) << "the router answers";
  ASSERT_TRUE(heard(first, 2)) << "the question and the answer";
  (*a)->set_receiver(nullptr);
  (*b)->set_receiver(nullptr);
}

}  // namespace
}  // namespace emu
