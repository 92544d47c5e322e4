// SPDX-License-Identifier: Apache-2.0
#include "devices/network/pcnet.h"

#include <gtest/gtest.h>

#include "devices/network/network_rig.h"
#include "devices/transfer_test.h"

namespace emu {
namespace {

constexpr u8 kSlot = pci::devfn(3, 0);
constexpr u64 kBlock = 0x1000, kRxRing = 0x2000, kTxRing = 0x3000, kBuffers = 0x10000;
constexpr u32 kInit = 1, kStart = 2, kStop = 4, kDemand = 8, kEnable = 0x40;

struct CardRig : NetworkRig {
  Pcnet card{bus, kSlot, "nic0", kTestMac, net};

  CardRig() {
    card.reset();
    enable(kSlot);
  }
  // Word I/O.
  u32 csr(u32 index) {
    card.registers().write(0x12, 2, index);
    return static_cast<u32>(card.registers().read(0x10, 2));
  }
  void set_csr(u32 index, u32 value) {
    card.registers().write(0x12, 2, index);
    card.registers().write(0x10, 2, value);
  }
  u32 bcr(u32 index) {
    card.registers().write(0x12, 2, index);
    return static_cast<u32>(card.registers().read(0x16, 2));
  }
  void set_bcr(u32 index, u32 value) {
    card.registers().write(0x12, 2, index);
    card.registers().write(0x16, 2, value);
  }
  // Four descriptors each way, 32-bit; `given` receive buffers of 512 bytes.
  void start(unsigned given, u32 mode = 0) {
    set_bcr(20, 2);
    memory_space.store(kBlock, 4, u64{2} << 28 | u64{2} << 20 | mode);
    memory_space.write(kBlock + 4, kTestMac);
    memory_space.store(kBlock + 20, 4, kRxRing);
    memory_space.store(kBlock + 24, 4, kTxRing);
    for (unsigned i = 0; i < given; ++i) give(i);
    set_csr(1, kBlock);
    set_csr(2, 0);
    set_csr(0, kInit);
    set_csr(0, 0x100 | kStart | kEnable);
  }
  void give(unsigned i) {
    memory_space.store(kRxRing + 16 * i, 4, kBuffers + 0x1000 * i);
    memory_space.store(kRxRing + 16 * i + 4, 4, 0x80000000 | ((0u - 512u) & 0xffff));
  }
};

TEST(Pcnet, AddressPromAndChip) {
  CardRig rig;
  EXPECT_EQ(rig.read(kSlot, 0), 0x20001022u);
  EXPECT_EQ(rig.card.registers().read(0, 4), 0x12005452u);
  EXPECT_EQ(rig.card.registers().read(14, 2), 0x5757u);
  u32 sum = 0;
  for (u32 i = 0; i < 16; ++i) {
    if (i != 12 && i != 13) sum += static_cast<u32>(rig.card.registers().read(i, 1));
  }
  EXPECT_EQ(rig.card.registers().read(12, 2), sum);
  EXPECT_EQ((rig.csr(89) << 16 | rig.csr(88)) >> 12 & 0xffff, 0x2621u);
  EXPECT_EQ(rig.csr(0), kStop);
}

TEST(Pcnet, DoublewordAccessSwitches) {
  CardRig rig;
  rig.card.registers().write(0x10, 4, 0);
  rig.card.registers().write(0x14, 4, 88);
  EXPECT_EQ(rig.card.registers().read(0x10, 4), 0x1003u);
  EXPECT_NE(rig.bcr(18) & 0x80u, rig.card.registers().read(0x1c, 4)) << "words are no longer there";
}

TEST(Pcnet, InitializationBlockIsRead) {
  CardRig rig;
  rig.start(0, 0x8000);
  EXPECT_EQ(rig.csr(0) & 0x33u, 0x33u) << "INIT, STRT, TXON, RXON";
  EXPECT_EQ(rig.csr(15), 0x8000u);
  EXPECT_EQ(rig.csr(76), 0xfffcu);
  EXPECT_EQ(rig.csr(12), 0x5452u);
  EXPECT_EQ(rig.csr(24), kRxRing);
}

TEST(Pcnet, SendsWhatTwoDescriptorsHold) {
  CardRig rig;
  rig.start(0);
  const auto frame = test_frame(100);
  rig.poke(kBuffers, frame);
  rig.memory_space.store(kTxRing, 4, kBuffers);
  rig.memory_space.store(kTxRing + 4, 4, 0x82000000 | ((0u - 60u) & 0xffff));
  rig.memory_space.store(kTxRing + 16, 4, kBuffers + 60);
  rig.memory_space.store(kTxRing + 20, 4, 0x81000000 | ((0u - 40u) & 0xffff));
  rig.set_csr(0, kDemand | kEnable);
  ASSERT_EQ(rig.net.sent.size(), 1u);
  EXPECT_EQ(rig.net.sent[0].bytes, frame);
  EXPECT_EQ(rig.memory_space.load(kTxRing + 4, 4) >> 31, 0u);
  EXPECT_EQ(rig.csr(0) & 0x280u, 0x280u) << "TINT, INTR";
  EXPECT_TRUE(rig.pirqs.level(PciBus::pirq_of(kSlot, 1)));
  rig.set_csr(0, 0x200 | kEnable);
  EXPECT_FALSE(rig.pirqs.level(PciBus::pirq_of(kSlot, 1)));
}

TEST(Pcnet, FrameArrivesOverTwoBuffers) {
  CardRig rig;
  rig.start(2);
  EXPECT_TRUE(rig.net.arrive(test_frame(700)));
  EXPECT_EQ(rig.memory_space.load(kRxRing + 6, 2), 0x0200u) << "STP";
  EXPECT_EQ(rig.memory_space.load(kRxRing + 16 + 6, 2), 0x0100u) << "ENP";
  EXPECT_EQ(rig.memory_space.load(kRxRing + 16 + 8, 4), 704u) << "with FCS";
  auto got = rig.peek(kBuffers, 512);
  const auto rest = rig.peek(kBuffers + 0x1000, 188);
  got.insert(got.end(), rest.begin(), rest.end());
  EXPECT_EQ(got, test_frame(700));
  EXPECT_NE(rig.csr(0) & 0x400u, 0u) << "RINT";
  EXPECT_FALSE(rig.net.arrive(test_frame(100))) << "no buffer";
  rig.give(2);
  EXPECT_TRUE(rig.net.arrive(test_frame(100)));
}

TEST(Pcnet, FrameLargerThanTheRingIsMissed) {
  CardRig rig;
  rig.start(4);
  EXPECT_TRUE(rig.net.arrive(test_frame(3000)));
  EXPECT_NE(rig.csr(0) & 0x1000u, 0u) << "MISS";
}

TEST(Pcnet, AddressFilter) {
  CardRig rig;
  rig.start(4);
  const auto taken = [&rig](std::array<u8, 6> to) {
    const u32 before = rig.csr(72);
    rig.net.arrive(test_frame(60, to));
    return rig.csr(72) != before;
  };
  EXPECT_TRUE(taken({0xff, 0xff, 0xff, 0xff, 0xff, 0xff}));
  EXPECT_FALSE(taken({0x52, 0x54, 0, 1, 1, 1}));
  const std::array<u8, 6> group{0x33, 0x33, 0, 0, 0, 1};
  EXPECT_FALSE(taken(group));
  u32 crc = ~u32{0};  // as Linux's ether_crc_le() has it
  for (u8 byte : group) {
    for (int i = 0; i < 8; ++i, byte = static_cast<u8>(byte >> 1)) {
      crc = (crc >> 1) ^ (((crc ^ byte) & 1) != 0 ? 0xedb88320u : 0u);
    }
  }
  rig.set_csr(8 + (crc >> 30), 1u << (crc >> 26 & 15));
  EXPECT_TRUE(taken(group));
}

TEST(Pcnet, WritingBackWhatWasReadOnlyAcknowledges) {
  CardRig rig;
  rig.start(4);
  rig.net.arrive(test_frame(60));
  rig.set_csr(0, rig.csr(0));
  EXPECT_EQ(rig.csr(0) & 0x733u, 0x33u);
  EXPECT_EQ(rig.csr(72), 3u) << "the ring goes on";
}

TEST(Pcnet, StopEndsEverything) {
  CardRig rig;
  rig.start(4);
  rig.set_csr(0, kStop);
  EXPECT_EQ(rig.csr(0), kStop);
  rig.net.arrive(test_frame(60));
  EXPECT_EQ(rig.csr(72), 4u);
}

TEST(Pcnet, LinkShowsOnTheLamp) {
  CardRig rig;
  EXPECT_EQ(rig.bcr(4), 0x80c0u);
  rig.card.set_link(false);
  EXPECT_EQ(rig.bcr(4), 0x00c0u);
}

struct TransferRig final : DeviceRig {
  CardRig rig;
  Device& device() override { return rig.card; }
  std::vector<RigWindow> windows() override {
    return {{&rig.card.registers(), Pcnet::kWindowBytes, {1, 4, false}}};
  }
  std::vector<PciFunction*> functions() override { return {&rig.card}; }
  void poke(u64 random) override { rig.net.arrive(test_frame(14 + random % 1600)); }
};
INSTANTIATE_TEST_SUITE_P(Pcnet, TransferTest,
                         testing::Values(device_under_test<TransferRig>("pcnet")),
                         device_under_test_name);

}  // namespace
}  // namespace emu
