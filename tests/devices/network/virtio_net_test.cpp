// SPDX-License-Identifier: Apache-2.0
#include "devices/network/virtio_net.h"

#include <gtest/gtest.h>

#include "devices/network/network_rig.h"
#include "devices/transfer_test.h"
#include "devices/virtio/virtio_rig.h"

namespace emu {
namespace {

constexpr u64 kMergeable = 1u << 15, kGuestAll = 1u << 1 | 1u << 7 | 1u << 8, kControl = 1u << 17,
              kControlRx = 1u << 18, kMq = 1u << 22;
constexpr u64 kBuffers = 0x100000;
constexpr unsigned kRx = 0, kTx = 1, kCtrl = 2;

struct CardRig : VirtioRig {
  MemoryNet net;
  VirtioNet* card = nullptr;

  explicit CardRig(unsigned pairs = 1) {
    auto made =
        std::make_unique<VirtioNet>(memory_space, net, VirtioNet::Options{kTestMac, pairs, 1500});
    made->offer_packed_rings(true);
    card = made.get();
    plug(std::move(made));
  }
  ~CardRig() { pci.reset(); }
  std::vector<u8> peek(u64 address, std::size_t bytes) {
    std::vector<u8> out(bytes);
    memory_space.read(address, out);
    return out;
  }
  u8 control(u8 kind, u8 number, std::vector<u8> data) {
    data.insert(data.begin(), {kind, number});
    memory_space.write(kBuffers, data);
    memory_space.store(kBuffers + 0x800, 1, 0x55);
    offer(kCtrl, {{kBuffers, static_cast<u32>(data.size())}, {kBuffers + 0x800, 1, true}});
    notify(kCtrl);
    return static_cast<u8>(memory_space.load(kBuffers + 0x800, 1));
  }
};

TEST(VirtioNet, ConfigurationSaysWhoItIs) {
  CardRig rig(2);
  for (u32 i = 0; i < 6; ++i) EXPECT_EQ(rig.device_config(i, 1), kTestMac[i]);
  EXPECT_EQ(rig.device_config(6, 2), 1u) << "link up";
  EXPECT_EQ(rig.device_config(8, 2), 2u) << "pairs";
  EXPECT_EQ(rig.device_config(10, 2), 1500u);
  rig.start(0);
  rig.card->set_link(false);
  EXPECT_EQ(rig.device_config(6, 2), 0u);
  EXPECT_NE(rig.isr() & virtio::kIsrConfig, 0u);
}

TEST(VirtioNet, FrameGoesOutWithItsOffload) {
  CardRig rig;
  rig.start(1u << 0 | 1u << 11);
  const auto frame = test_frame(100);
  const u8 header[12] = {1, 1, 54, 0, 0xb4, 0x05, 34, 0, 16, 0, 0, 0};
  rig.memory_space.write(kBuffers, header);
  rig.memory_space.write(kBuffers + 0x100, frame);
  rig.offer(kTx, {{kBuffers, 12}, {kBuffers + 0x100, 40}, {kBuffers + 0x128, 60}});
  rig.notify(kTx);
  ASSERT_EQ(rig.net.sent.size(), 1u);
  EXPECT_EQ(rig.net.sent[0].bytes, frame);
  const Offload& offload = rig.net.sent[0].offload;
  EXPECT_TRUE(offload.needs_checksum);
  EXPECT_EQ(offload.segments, Offload::Segments::kTcp4);
  EXPECT_EQ(offload.segment_bytes, 1460);
  EXPECT_EQ(offload.checksum_start, 34);
  EXPECT_EQ(rig.used_index(kTx), 1);
}

TEST(VirtioNet, FrameTooShortOrTooLongIsReturnedUnsent) {
  CardRig rig;
  rig.start(0);
  rig.offer(kTx, {{kBuffers, 12 + 13}});
  rig.offer(kTx, {{kBuffers, 5}}, 1);
  rig.offer(kTx, {{kBuffers, 12 + 65551}}, 2);
  rig.notify(kTx);
  EXPECT_TRUE(rig.net.sent.empty());
  EXPECT_EQ(rig.used_index(kTx), 3);
}

TEST(VirtioNet, FrameComesInOverSeveralBuffers) {
  CardRig rig;
  rig.start(kMergeable);
  rig.offer(kRx, {{kBuffers, 64, true}}, 0);
  rig.offer(kRx, {{kBuffers + 0x1000, 64, true}}, 1);
  const auto frame = test_frame(100);
  EXPECT_TRUE(rig.net.arrive(frame));
  EXPECT_EQ(rig.used_index(kRx), 2);
  EXPECT_EQ(rig.used(kRx, 0), (VirtioRig::Used{0, 64}));
  EXPECT_EQ(rig.used(kRx, 1), (VirtioRig::Used{1, 48}));
  EXPECT_EQ(rig.memory_space.load(kBuffers + 10, 2), 2u) << "num_buffers";
  auto got = rig.peek(kBuffers + 12, 52);
  const auto rest = rig.peek(kBuffers + 0x1000, 48);
  got.insert(got.end(), rest.begin(), rest.end());
  EXPECT_EQ(got, frame);
  EXPECT_NE(rig.isr() & virtio::kIsrQueue, 0u);
}

TEST(VirtioNet, NoBuffersNoLoss) {
  CardRig rig;
  rig.start(kMergeable);
  rig.offer(kRx, {{kBuffers, 64, true}}, 0);
  EXPECT_FALSE(rig.net.arrive(test_frame(100)));
  EXPECT_EQ(rig.used_index(kRx), 0) << "the one buffer waits for its neighbour";
  const unsigned before = rig.net.ready_calls;
  rig.offer(kRx, {{kBuffers + 0x1000, 64, true}}, 1);
  rig.notify(kRx);
  EXPECT_GT(rig.net.ready_calls, before);
  EXPECT_TRUE(rig.net.arrive(test_frame(100)));
  EXPECT_EQ(rig.used_index(kRx), 2);
}

TEST(VirtioNet, OffloadsOnlyForDriversThatTakeThem) {
  CardRig rig;
  rig.start(kMergeable);
  EXPECT_FALSE(rig.net.receiver()->takes_offloads());
  rig.start(kMergeable | kGuestAll);
  EXPECT_TRUE(rig.net.receiver()->takes_offloads());
  rig.offer(kRx, {{kBuffers, 2048, true}});
  Offload offload;
  offload.checksum_valid = true;
  offload.segments = Offload::Segments::kTcp4;
  offload.segment_bytes = 1448;
  EXPECT_TRUE(rig.net.arrive(test_frame(1000), offload));
  EXPECT_EQ(rig.memory_space.load(kBuffers, 2), 0x0102u) << "TCPv4, checksum good";
  EXPECT_EQ(rig.memory_space.load(kBuffers + 4, 2), 1448u);
}

TEST(VirtioNet, ControlQueueSetsTheFilter) {
  CardRig rig;
  rig.start(kMergeable | kControl | kControlRx | 1u << 23);
  const auto taken = [&rig](std::array<u8, 6> to) {
    rig.offer(kRx, {{kBuffers + 0x4000, 2048, true}});
    const u16 before = rig.used_index(kRx);
    rig.net.arrive(test_frame(60, to));
    return rig.used_index(kRx) != before;
  };
  const std::array<u8, 6> other{0x52, 0x54, 0, 9, 9, 9}, group{0x33, 0x33, 0, 0, 0, 1};
  EXPECT_TRUE(taken(other)) << "promiscuous until told otherwise";
  EXPECT_EQ(rig.control(0, 0, {0}), 0);
  EXPECT_FALSE(taken(other));
  EXPECT_TRUE(taken(kTestMac));
  EXPECT_FALSE(taken(group));
  EXPECT_EQ(rig.control(1, 0, {0, 0, 0, 0, 1, 0, 0, 0, 0x33, 0x33, 0, 0, 0, 1}), 0);
  EXPECT_TRUE(taken(group));
  EXPECT_EQ(rig.control(1, 1, {0x52, 0x54, 0, 9, 9, 9}), 0);
  EXPECT_TRUE(taken(other)) << "its address now";
}

TEST(VirtioNet, NonsenseCommandsAreRefused) {
  CardRig rig;
  rig.start(kControl | kControlRx);
  EXPECT_EQ(rig.control(99, 0, {0}), 1);
  EXPECT_EQ(rig.control(0, 77, {0}), 1);
  EXPECT_EQ(rig.control(1, 0, {0xff, 0xff, 0xff, 0xff}), 1) << "a table of 4 billion";
  EXPECT_EQ(rig.control(1, 0, {1, 0, 0, 0}), 1) << "a table without its entries";
  EXPECT_EQ(rig.control(2, 0, {0xff, 0xff}), 1) << "no such VLAN";
  EXPECT_EQ(rig.control(4, 0, {9, 0}), 1) << "more pairs than there are";
  EXPECT_EQ(rig.control(5, 0, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}), 1);
  EXPECT_EQ(rig.control(0, 0, {}), 1);
}

TEST(VirtioNet, ControlQueueMovesWithMultiQueue) {
  CardRig rig(2);
  rig.start(kControl | kMq);
  rig.memory_space.write(kBuffers, std::vector<u8>{4, 0, 2, 0});
  rig.offer(4, {{kBuffers, 4}, {kBuffers + 0x800, 1, true}});
  rig.notify(4);
  EXPECT_EQ(rig.used_index(4), 1);
}

struct TransferRig final : DeviceRig {
  CardRig rig{2};
  TransferRig() { rig.start(kMergeable | kControl | kMq); }
  Device& device() override { return *rig.pci; }
  std::vector<PciFunction*> functions() override { return {rig.pci.get()}; }
  void poke(u64 random) override { rig.net.arrive(test_frame(14 + random % 3000)); }
};
INSTANTIATE_TEST_SUITE_P(VirtioNet, TransferTest,
                         testing::Values(device_under_test<TransferRig>("virtio_net")),
                         device_under_test_name);

}  // namespace
}  // namespace emu
