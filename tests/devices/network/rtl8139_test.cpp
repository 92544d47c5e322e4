// SPDX-License-Identifier: Apache-2.0
#include "devices/network/rtl8139.h"

#include <gtest/gtest.h>

#include "devices/network/network_rig.h"
#include "devices/transfer_test.h"

namespace emu {
namespace {

constexpr u8 kSlot = pci::devfn(3, 0);
constexpr u32 kTsd0 = 0x10, kTsad0 = 0x20, kRbstart = 0x30, kCr = 0x37, kCapr = 0x38, kCbr = 0x3a,
              kImr = 0x3c, kIsr = 0x3e, kTcr = 0x40, kRcr = 0x44, k9346 = 0x50, kBmsr = 0x64;
constexpr u64 kRing = 0x4000, kBuffer = 0x20000;
constexpr u32 kWrap = 1 << 7, kBroadcast = 8, kPhysical = 2, kMulticast = 4;

struct CardRig : NetworkRig {
  Rtl8139 card{bus, kSlot, "nic0", kTestMac, net};

  CardRig() {
    card.reset();
    enable(kSlot);
  }
  u32 get(u32 offset, unsigned size) {
    return static_cast<u32>(card.registers().read(offset, size));
  }
  void set(u32 offset, unsigned size, u32 value) { card.registers().write(offset, size, value); }
  void set_up_receive(u32 accept) {
    set(kRbstart, 4, kRing);
    set(kCr, 1, 0x0c);
    set(kRcr, 4, accept);  // a ring of 8 KiB
    set(kImr, 2, 0x0001);
  }
};

TEST(Rtl8139, IsAnRtl8139CWithItsAddress) {
  CardRig rig;
  EXPECT_EQ(rig.read(kSlot, 0), 0x813910ecu);
  EXPECT_EQ(rig.get(0, 4), 0x12005452u);
  EXPECT_EQ(rig.get(4, 2), 0x5634u);
  EXPECT_EQ(rig.get(kTcr, 4) & 0x7cc00000u, 0x74000000u);
  EXPECT_NE(rig.get(kBmsr, 2) & 4u, 0u) << "link";
}

TEST(Rtl8139, EepromReadsByItsWires) {
  CardRig rig;
  const auto word = [&rig](u32 address) {
    const auto clock_bit = [&rig](u32 in) {
      rig.set(k9346, 1, 0x88 | in);
      rig.set(k9346, 1, 0x8c | in);
      return rig.get(k9346, 1) & 1;
    };
    rig.set(k9346, 1, 0x80);
    for (int i = 8; i >= 0; --i)
      clock_bit(bit(6u << 6 | address, static_cast<unsigned>(i)) ? 2 : 0);
    u32 out = 0;
    for (int i = 0; i < 16; ++i) out = out << 1 | clock_bit(0);
    rig.set(k9346, 1, 0);
    return out;
  };
  EXPECT_EQ(word(0), 0x8129u);
  EXPECT_EQ(word(7), 0x5452u);
}

TEST(Rtl8139, SendsFromASlot) {
  CardRig rig;
  const auto frame = test_frame(100);
  rig.poke(kBuffer, frame);
  rig.set(kTsad0 + 4, 4, kBuffer);
  rig.set(kTsd0 + 4, 4, 100);
  EXPECT_TRUE(rig.net.sent.empty()) << "the transmitter is off";
  rig.set(kCr, 1, 0x04);
  rig.set(kImr, 2, 0x0004);
  rig.set(kTsd0 + 4, 4, 100);
  ASSERT_EQ(rig.net.sent.size(), 1u);
  EXPECT_EQ(rig.net.sent[0].bytes, frame);
  EXPECT_EQ(rig.get(kTsd0 + 4, 4) & 0xa000u, 0xa000u) << "OWN and TOK";
  EXPECT_TRUE(rig.pirqs.level(PciBus::pirq_of(kSlot, 1)));
  rig.set(kIsr, 2, 0x0004);
  EXPECT_FALSE(rig.pirqs.level(PciBus::pirq_of(kSlot, 1)));
}

TEST(Rtl8139, FrameGoesIntoTheRingBehindItsHeader) {
  CardRig rig;
  rig.set_up_receive(kPhysical);
  EXPECT_EQ(rig.get(kCr, 1) & 1u, 1u) << "empty";
  EXPECT_TRUE(rig.net.arrive(test_frame(100)));
  EXPECT_EQ(rig.memory_space.load(kRing, 4), u64{104} << 16 | 0x4001) << "with FCS; ROK, PAM";
  EXPECT_EQ(rig.peek(kRing + 4, 100), test_frame(100));
  EXPECT_EQ(rig.get(kCbr, 2), 108u);
  EXPECT_EQ(rig.get(kCr, 1) & 1u, 0u);
  EXPECT_EQ(rig.get(kIsr, 2), 1u);
  rig.set(kCapr, 2, 108 - 16);
  EXPECT_EQ(rig.get(kCr, 1) & 1u, 1u);
  rig.set(kIsr, 2, 1);
  EXPECT_EQ(rig.get(kIsr, 2), 0u);
}

TEST(Rtl8139, FramesLeftInTheRingAreNotForgotten) {
  CardRig rig;
  rig.set_up_receive(kPhysical);
  rig.net.arrive(test_frame(60));
  rig.net.arrive(test_frame(60));
  rig.set(kCapr, 2, 68 - 16);
  rig.set(kIsr, 2, 1);
  EXPECT_EQ(rig.get(kIsr, 2), 1u);
}

TEST(Rtl8139, FullRingMakesFramesWait) {
  CardRig rig;
  rig.set_up_receive(kPhysical | kWrap);
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(rig.net.arrive(test_frame(1514)));
  EXPECT_FALSE(rig.net.arrive(test_frame(1514)));
  const unsigned before = rig.net.ready_calls;
  rig.set(kCapr, 2, 1524 - 16);
  EXPECT_GT(rig.net.ready_calls, before);
  EXPECT_TRUE(rig.net.arrive(test_frame(1514)));
  EXPECT_EQ(rig.peek(kRing + 5 * 1524 + 4, 1514), test_frame(1514)) << "beyond the ring's end";
  EXPECT_EQ(rig.get(kCbr, 2), 6u * 1524 - 8192);
}

TEST(Rtl8139, AddressFilter) {
  CardRig rig;
  rig.set_up_receive(kPhysical | kBroadcast | kMulticast);
  const auto taken = [&rig](std::array<u8, 6> to) {
    const u32 before = rig.get(kCbr, 2);
    rig.net.arrive(test_frame(60, to));
    return rig.get(kCbr, 2) != before;
  };
  EXPECT_TRUE(taken(kTestMac));
  EXPECT_TRUE(taken({0xff, 0xff, 0xff, 0xff, 0xff, 0xff}));
  EXPECT_FALSE(taken({0x52, 0x54, 0, 1, 1, 1}));
  EXPECT_FALSE(taken({0x01, 0x00, 0x5e, 0, 0, 1}));
  rig.set(8, 4, 0xffffffff);
  rig.set(12, 4, 0xffffffff);
  EXPECT_TRUE(taken({0x01, 0x00, 0x5e, 0, 0, 1}));
}

TEST(Rtl8139, LinkChangeInterrupts) {
  CardRig rig;
  EXPECT_EQ(rig.get(0x74, 2) & 0x0c00, 0x0400u) << "CSCR: connected";
  rig.card.set_link(false);
  EXPECT_EQ(rig.get(0x3e, 2), 0x20u) << "ISR";
  EXPECT_EQ(rig.get(0x74, 2) & 0x0c00, 0x0800u) << "not any more, and it changed";
  rig.set(0x3e, 2, 0x20);
  EXPECT_EQ(rig.get(0x74, 2) & 0x0c00, 0u);
}

struct TransferRig final : DeviceRig {
  CardRig rig;
  Device& device() override { return rig.card; }
  std::vector<RigWindow> windows() override {
    return {{&rig.card.registers(), Rtl8139::kWindowBytes, {1, 4, false}}};
  }
  std::vector<PciFunction*> functions() override { return {&rig.card}; }
  void poke(u64 random) override { rig.net.arrive(test_frame(14 + random % 1600)); }
};
INSTANTIATE_TEST_SUITE_P(Rtl8139, TransferTest,
                         testing::Values(device_under_test<TransferRig>("rtl8139")),
                         device_under_test_name);

}  // namespace
}  // namespace emu
