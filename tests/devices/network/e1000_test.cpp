// SPDX-License-Identifier: Apache-2.0
#include "devices/network/e1000.h"

#include <gtest/gtest.h>

#include "devices/network/network_rig.h"
#include "devices/transfer_test.h"
#include "net/offload.h"

namespace emu {
namespace {

using namespace e1000;

constexpr u8 kSlot = pci::devfn(3, 0);
constexpr u64 kTxRing = 0x1000, kRxRing = 0x2000, kBuffers = 0x10000;

struct CardRig : NetworkRig {
  E1000 card{bus, kSlot, "nic0", kTestMac, net, clock};

  CardRig() {
    card.reset();
    enable(kSlot);
  }
  u32 get(u32 offset) { return static_cast<u32>(card.registers().read(offset, 4)); }
  void set(u32 offset, u32 value) { card.registers().write(offset, 4, value); }
  void set_up_transmit() {
    set(kTdbal, kTxRing);
    set(kTdlen, 8 * 16);
    set(kTctl, kTctlEnable);
  }
  // Eight descriptors, of which `given` are the card's.
  void set_up_receive(u32 given, u32 control = 0) {
    set(kRdbal, kRxRing);
    set(kRdlen, 8 * 16);
    for (u32 i = 0; i < 8; ++i) memory_space.store(kRxRing + 16 * i, 8, kBuffers + 0x1000 * i);
    set(kRctl, kRctlEnable | kRctlBroadcast | kRctlStripCrc | control);
    set(kRdt, given);
  }
  void transmit_descriptor(unsigned i, u64 low, u64 high) {
    memory_space.store(kTxRing + 16 * i, 8, low);
    memory_space.store(kTxRing + 16 * i + 8, 8, high);
  }
  u8 receive_status(unsigned i) {
    return static_cast<u8>(memory_space.load(kRxRing + 16 * i + 12, 1));
  }
};

// Reads an EEPROM word by its wires, as drivers of the Microwire parts do.
u16 read_eeprom_by_wire(CardRig& rig, unsigned address) {
  const auto clock_bit = [&](u32 in) {
    rig.set(kEecd, kEecdSelect | in);
    rig.set(kEecd, kEecdSelect | in | kEecdClock);
    rig.set(kEecd, kEecdSelect | in);
  };
  rig.set(kEecd, kEecdRequest);
  EXPECT_NE(rig.get(kEecd) & kEecdGrant, 0u);
  rig.set(kEecd, kEecdSelect);
  for (int i = 8; i >= 0; --i) {
    clock_bit(bit(u32{6} << 6 | address, static_cast<unsigned>(i)) ? kEecdIn : 0);
  }
  u16 word = 0;
  for (int i = 0; i < 16; ++i) {
    clock_bit(0);
    word = static_cast<u16>(word << 1 | ((rig.get(kEecd) & kEecdOut) != 0 ? 1 : 0));
  }
  rig.set(kEecd, 0);
  return word;
}

TEST(E1000, EepromHoldsTheAddressAndSumsUp) {
  CardRig rig;
  EXPECT_EQ(rig.get(kRal), 0x12005452u);
  EXPECT_EQ(rig.get(kRal + 4), 0x80005634u);
  u16 sum = 0;
  for (unsigned i = 0; i < kEepromWords; ++i) {
    rig.set(kEerd, i << 8 | kEerdStart);
    EXPECT_NE(rig.get(kEerd) & kEerdDone, 0u);
    const u16 word = static_cast<u16>(rig.get(kEerd) >> 16);
    EXPECT_EQ(word, read_eeprom_by_wire(rig, i));
    sum = static_cast<u16>(sum + word);
  }
  EXPECT_EQ(sum, kEepromSum);
}

TEST(E1000, PhyIsThereAndTheLinkIsUp) {
  CardRig rig;
  rig.set(kMdic, kMdicRead | 1u << 21 | kPhyId1 << 16);
  EXPECT_EQ(rig.get(kMdic) & (kMdicReady | kMdicError | 0xffff), kMdicReady | 0x0141u);
  rig.set(kMdic, kMdicRead | 2u << 21 | kPhyId1 << 16);
  EXPECT_NE(rig.get(kMdic) & kMdicError, 0u) << "no PHY 2";
  EXPECT_NE(rig.get(kStatus) & kStatusLinkUp, 0u);
  rig.set(kIms, kLsc);
  rig.card.set_link(false);
  EXPECT_EQ(rig.get(kStatus) & kStatusLinkUp, 0u);
  EXPECT_NE(rig.get(kIcr) & kLsc, 0u);
}

TEST(E1000, LegacyDescriptorSendsAndReports) {
  CardRig rig;
  rig.set_up_transmit();
  const auto frame = test_frame(100);
  rig.poke(kBuffers, frame);
  rig.transmit_descriptor(0, kBuffers, 60);  // two pieces
  rig.transmit_descriptor(1, kBuffers + 60, 40 | kTxEnd | kTxReport);
  rig.set(kIms, kTxdw);
  rig.set(kTdt, 2);
  ASSERT_EQ(rig.net.sent.size(), 1u);
  EXPECT_EQ(rig.net.sent[0].bytes, frame);
  EXPECT_EQ(rig.memory_space.load(kTxRing + 12, 1), 0u) << "asked for no report";
  EXPECT_EQ(rig.memory_space.load(kTxRing + 28, 1), kTxDone);
  EXPECT_TRUE(rig.pirqs.level(PciBus::pirq_of(kSlot, 1)));
  EXPECT_NE(rig.get(kIcr) & kTxdw, 0u);
  EXPECT_FALSE(rig.pirqs.level(PciBus::pirq_of(kSlot, 1))) << "reading acknowledged";
  EXPECT_EQ(rig.get(kGptc), 1u);
  EXPECT_EQ(rig.get(kGptc), 0u) << "statistics clear when read";
}

TEST(E1000, ChecksumIsInsertedWhereTheContextSays) {
  CardRig rig;
  rig.set_up_transmit();
  auto frame = test_frame(64);
  store_be(&frame[40], u16{0});
  rig.poke(kBuffers, frame);
  rig.transmit_descriptor(0, u64{34 | 40u << 8} << 32, kTxExtended | kTxContext);
  rig.transmit_descriptor(1, kBuffers, 64 | kTxExtended | kTxData | kTxEnd | u64{kPopTcp} << 40);
  rig.set(kTdt, 2);
  ASSERT_EQ(rig.net.sent.size(), 1u);
  EXPECT_EQ(load_be<u16>(&rig.net.sent[0].bytes[40]),
            fold_checksum(sum_words(std::span(frame).subspan(34))));
}

TEST(E1000, AVlanTagIsInsertedAfterTheChecksum) {
  CardRig rig;
  rig.set_up_transmit();
  rig.set(kCtrl, rig.get(kCtrl) | kCtrlVme);
  auto frame = test_frame(64);
  store_be(&frame[40], u16{0});
  rig.poke(kBuffers, frame);
  rig.transmit_descriptor(0, u64{34 | 40u << 8} << 32, kTxExtended | kTxContext);
  rig.transmit_descriptor(
      1, kBuffers,
      64 | kTxExtended | kTxData | kTxEnd | kTxVlan | u64{kPopTcp} << 40 | u64{0x2005} << 48);
  rig.set(kTdt, 2);
  ASSERT_EQ(rig.net.sent.size(), 1u);
  const auto& sent = rig.net.sent[0].bytes;
  ASSERT_EQ(sent.size(), 68u);
  EXPECT_EQ(load_be<u32>(&sent[12]), 0x81002005u);
  EXPECT_EQ(load_be<u16>(&sent[44]), fold_checksum(sum_words(std::span(frame).subspan(34))));
  EXPECT_TRUE(std::equal(&sent[16], &sent[44], &frame[12])) << "the rest moved by four bytes";
}

TEST(E1000, TailOutsideTheRingEnds) {
  CardRig rig;
  rig.set_up_transmit();
  rig.set(kTdt, 0xffff);
  EXPECT_LT(rig.get(kTdh), 8u);
  rig.set(kTdh, 0xfff0);
  rig.set(kTdt, 3);
  EXPECT_LT(rig.get(kTdh), 8u);
}

TEST(E1000, EndlessFrameIsDropped) {
  CardRig rig;
  rig.set_up_transmit();
  for (unsigned i = 0; i < 8; ++i) rig.transmit_descriptor(i, kBuffers, 0xffff);
  for (int round = 0; round < 100; ++round) rig.set(kTdt, rig.get(kTdt) == 7 ? 3 : 7);
  rig.transmit_descriptor(rig.get(kTdh), kBuffers, 60 | kTxEnd);
  rig.set(kTdt, (rig.get(kTdh) + 1) % 8);
  EXPECT_TRUE(rig.net.sent.empty());
}

TEST(E1000, FrameArrivesInDescriptors) {
  CardRig rig;
  EXPECT_TRUE(rig.net.arrive(test_frame(100))) << "not set up: lost, as on a wire";
  rig.set_up_receive(2);
  rig.set(kIms, kRxt0);
  const auto frame = test_frame(100);
  EXPECT_TRUE(rig.net.arrive(frame));
  EXPECT_EQ(rig.receive_status(0), kRxDone | kRxEnd | kRxIgnoreChecksum);
  EXPECT_EQ(rig.memory_space.load(kRxRing + 8, 2), 100u);
  EXPECT_EQ(rig.peek(kBuffers, 100), frame);
  EXPECT_EQ(rig.get(kRdh), 1u);
  EXPECT_NE(rig.get(kIcr) & kRxt0, 0u);
  EXPECT_TRUE(rig.net.arrive(test_frame(20)));
  EXPECT_EQ(rig.memory_space.load(kRxRing + 16 + 8, 2), 60u) << "padded to what a wire carries";
  EXPECT_FALSE(rig.net.arrive(frame)) << "no descriptor left";
  const unsigned before = rig.net.ready_calls;
  rig.set(kRdt, 3);
  EXPECT_GT(rig.net.ready_calls, before);
}

TEST(E1000, LongFrameSpansDescriptors) {
  CardRig rig;
  rig.set_up_receive(5, kRctlLong | 1u << 16);  // buffers of 1024 bytes
  EXPECT_TRUE(rig.net.arrive(test_frame(2500)));
  EXPECT_EQ(rig.receive_status(0) & (kRxDone | kRxEnd), kRxDone);
  EXPECT_EQ(rig.receive_status(2) & (kRxDone | kRxEnd), kRxDone | kRxEnd);
  EXPECT_EQ(rig.memory_space.load(kRxRing + 32 + 8, 2), 2500u - 2048);
  rig.set(kRctl, kRctlEnable | kRctlBroadcast);
  EXPECT_TRUE(rig.net.arrive(test_frame(2500))) << "too long without LPE: lost";
  EXPECT_EQ(rig.get(kRdh), 3u);
}

TEST(E1000, AddressFilter) {
  CardRig rig;
  rig.set_up_receive(7);
  const auto taken = [&rig](std::array<u8, 6> to) {
    const u32 before = rig.get(kRdh);
    rig.net.arrive(test_frame(60, to));
    return rig.get(kRdh) != before;
  };
  EXPECT_TRUE(taken(kTestMac));
  EXPECT_TRUE(taken({0xff, 0xff, 0xff, 0xff, 0xff, 0xff}));
  EXPECT_FALSE(taken({0x52, 0x54, 0, 1, 1, 1}));
  const std::array<u8, 6> group{0x33, 0x33, 0, 0, 0, 1};
  EXPECT_FALSE(taken(group));
  rig.set(kMta + 4 * (0x010 >> 5), 1u << (0x010 & 31));  // bits 47:36 of the address
  EXPECT_TRUE(taken(group));
}

TEST(E1000, InterruptsAreThrottled) {
  CardRig rig;
  const unsigned pin = PciBus::pirq_of(kSlot, 1);
  rig.set(kItr, 1000);  // 256 us
  rig.set(kIms, kTxdw);
  rig.set(kIcs, kTxdw);
  EXPECT_EQ(rig.pirqs.take_rises(pin), 1u);
  EXPECT_NE(rig.get(kIcr), 0u);
  rig.set(kIcs, kTxdw);
  EXPECT_EQ(rig.pirqs.take_rises(pin), 0u) << "too soon";
  rig.clock.advance(256'000);
  EXPECT_EQ(rig.pirqs.take_rises(pin), 1u);
}

struct TransferRig final : DeviceRig {
  CardRig rig;
  Device& device() override { return rig.card; }
  std::vector<RigWindow> windows() override {
    return {{&rig.card.registers(), kWindowBytes, {4, 4, false}},
            {&rig.card.io_ports(), 8, {4, 4, false}}};
  }
  std::vector<PciFunction*> functions() override { return {&rig.card}; }
  void poke(u64 random) override { rig.net.arrive(test_frame(14 + random % 1600)); }
};
INSTANTIATE_TEST_SUITE_P(E1000, TransferTest,
                         testing::Values(device_under_test<TransferRig>("e1000")),
                         device_under_test_name);

}  // namespace
}  // namespace emu
