// SPDX-License-Identifier: Apache-2.0
#include "devices/network/ne2000.h"

#include <gtest/gtest.h>

#include "devices/network/network_rig.h"
#include "devices/transfer_test.h"

namespace emu {
namespace {

constexpr u8 kSlot = pci::devfn(3, 0);
constexpr unsigned kCommand = 0, kPstart = 1, kPstop = 2, kBnry = 3, kTpsr = 4, kTbcr = 5, kIsr = 7,
                   kRsar = 8, kRbcr = 10, kRcr = 12, kTcr = 13, kDcr = 14, kImr = 15, kData = 16;

struct CardRig : NetworkRig {
  Ne2000Pci card{bus, kSlot, "nic0", kTestMac, net};

  CardRig() {
    card.reset();
    enable(kSlot);
  }
  u32 get(unsigned port, unsigned size = 1) {
    return static_cast<u32>(card.chip().read(port, size));
  }
  void set(unsigned port, u32 value, unsigned size = 1) { card.chip().write(port, size, value); }
  void remote(u32 address, u32 bytes, u32 command) {
    set(kRsar, address & 0xff);
    set(kRsar + 1, address >> 8);
    set(kRbcr, bytes & 0xff);
    set(kRbcr + 1, bytes >> 8);
    set(kCommand, command);
  }
  std::vector<u8> read_memory(u32 address, u32 bytes) {
    remote(address, bytes, 0x0a);
    std::vector<u8> out;
    while (out.size() < bytes) {
      const u32 word = get(kData, 2);
      out.push_back(static_cast<u8>(word));
      out.push_back(static_cast<u8>(word >> 8));
    }
    return out;
  }
  // As drivers do it: words, a page of sending, a ring from 46h to 80h.
  void start() {
    set(kCommand, 0x21);
    set(kDcr, 0x49);
    set(kRcr, 0x04);
    set(kTcr, 0);
    set(kPstart, 0x46);
    set(kPstop, 0x80);
    set(kBnry, 0x7f);
    set(kIsr, 0xff);
    set(kImr, 0x3f);
    set(kCommand, 0x61);
    for (unsigned i = 0; i < 6; ++i) set(1 + i, kTestMac[i]);
    set(7, 0x46);
    set(kCommand, 0x22);
  }
  u32 current() {
    set(kCommand, 0x62);
    const u32 page = get(7);
    set(kCommand, 0x22);
    return page;
  }
};

TEST(Ne2000, PromHoldsTheAddressTwice) {
  CardRig rig;
  EXPECT_EQ(rig.read(kSlot, 0), 0x802910ecu);
  rig.set(kDcr, 0x49);
  rig.remote(0, 32, 0x0a);
  for (unsigned i = 0; i < 6; ++i)
    EXPECT_EQ(rig.get(kData), kTestMac[i]) << "one byte of each word";
  EXPECT_EQ(rig.read_memory(28, 4), (std::vector<u8>{0x57, 0x57, 0x57, 0x57}));
  EXPECT_NE(rig.get(kIsr) & 0x40u, 0u) << "remote DMA complete";
}

TEST(Ne2000, ResetPort) {
  CardRig rig;
  rig.start();
  rig.get(0x1f);
  EXPECT_EQ(rig.get(kCommand), 0x21u);
  EXPECT_NE(rig.get(kIsr) & 0x80u, 0u);
}

TEST(Ne2000, SendsFromItsMemory) {
  CardRig rig;
  rig.start();
  const auto frame = test_frame(100);
  rig.remote(0x4000, 100, 0x12);
  for (unsigned i = 0; i < 100; i += 2) rig.set(kData, frame[i] | u32{frame[i + 1]} << 8, 2);
  rig.set(kIsr, 0x40);
  rig.set(kTpsr, 0x40);
  rig.set(kTbcr, 100);
  rig.set(kTbcr + 1, 0);
  rig.set(kCommand, 0x26);
  ASSERT_EQ(rig.net.sent.size(), 1u);
  EXPECT_EQ(rig.net.sent[0].bytes, frame);
  EXPECT_EQ(rig.get(kIsr), 0x02u);
  EXPECT_TRUE(rig.pirqs.level(PciBus::pirq_of(kSlot, 1)));
  EXPECT_EQ(rig.get(kCommand) & 4u, 0u);
  rig.set(kIsr, 0x02);
  EXPECT_FALSE(rig.pirqs.level(PciBus::pirq_of(kSlot, 1)));
}

TEST(Ne2000, SendingBeyondItsMemoryReadsNothing) {
  CardRig rig;
  rig.start();
  rig.set(kTpsr, 0xff);
  rig.set(kTbcr, 0xff);
  rig.set(kTbcr + 1, 0xff);
  rig.set(kCommand, 0x26);
  ASSERT_EQ(rig.net.sent.size(), 1u);
  EXPECT_EQ(rig.net.sent[0].bytes, std::vector<u8>(1518, 0xff));
}

TEST(Ne2000, FrameGoesIntoPagesOfTheRing) {
  CardRig rig;
  rig.start();
  EXPECT_TRUE(rig.net.arrive(test_frame(300)));
  EXPECT_EQ(rig.current(), 0x48u);
  EXPECT_EQ(rig.read_memory(0x4600, 4), (std::vector<u8>{0x01, 0x48, 0x30, 0x01}));
  EXPECT_EQ(rig.read_memory(0x4604, 300), test_frame(300));
  EXPECT_EQ(rig.get(kIsr) & 1u, 1u);
  rig.set(kIsr, 1);
  EXPECT_EQ(rig.get(kIsr) & 1u, 1u) << "a frame is left";
  rig.set(kBnry, 0x47);
  rig.set(kIsr, 1);
  EXPECT_EQ(rig.get(kIsr) & 1u, 0u);
}

TEST(Ne2000, RingWrapsAndFills) {
  CardRig rig;
  rig.start();
  for (int i = 0; i < 9; ++i) EXPECT_TRUE(rig.net.arrive(test_frame(1514)));
  EXPECT_EQ(rig.current(), 0x46u + 54);
  EXPECT_FALSE(rig.net.arrive(test_frame(1514))) << "four pages are left";
  const unsigned before = rig.net.ready_calls;
  rig.set(kBnry, 0x51);
  EXPECT_GT(rig.net.ready_calls, before);
  EXPECT_TRUE(rig.net.arrive(test_frame(1514)));
  EXPECT_EQ(rig.current(), 0x48u);
  EXPECT_EQ(rig.read_memory(0x7c04, 1514), test_frame(1514)) << "remote DMA wraps as well";
}

TEST(Ne2000, BoundaryBeforeTheRingIsItsLastPage) {
  CardRig rig;
  rig.start();
  rig.set(kBnry, 0x45);
  EXPECT_TRUE(rig.net.arrive(test_frame(60)));
  EXPECT_EQ(rig.current(), 0x47u);
}

TEST(Ne2000, RingOutsideItsMemoryIsHarmless) {
  CardRig rig;
  rig.start();
  rig.set(kPstart, 0xf0);
  rig.set(kPstop, 0xff);
  rig.set(kCommand, 0x62);
  rig.set(7, 0xfe);
  rig.set(kCommand, 0x22);
  rig.net.arrive(test_frame(1514));
  rig.set(kPstop, 0);
  rig.net.arrive(test_frame(1514));
}

struct TransferRig final : DeviceRig {
  CardRig rig;
  Device& device() override { return rig.card; }
  std::vector<RigWindow> windows() override {
    return {{&rig.card.chip(), Dp8390::kWindowBytes, Dp8390::kSizes}};
  }
  std::vector<PciFunction*> functions() override { return {&rig.card}; }
  void poke(u64 random) override { rig.net.arrive(test_frame(14 + random % 1600)); }
};
struct IsaTransferRig final : DeviceRig {
  RecordingIrq irqs;
  MemoryNet net;
  Ne2000Isa card{"nic0", kTestMac, net, IrqLine(irqs, 0)};
  Device& device() override { return card; }
  std::vector<RigWindow> windows() override {
    return {{&card.chip(), Dp8390::kWindowBytes, Dp8390::kSizes}};
  }
  void poke(u64 random) override { net.arrive(test_frame(14 + random % 1600)); }
};
INSTANTIATE_TEST_SUITE_P(Ne2000, TransferTest,
                         testing::Values(device_under_test<TransferRig>("ne2k_pci"),
                                         device_under_test<IsaTransferRig>("ne2k_isa")),
                         device_under_test_name);

}  // namespace
}  // namespace emu
