// SPDX-License-Identifier: Apache-2.0
#include "devices/network/e1000e.h"

#include <gtest/gtest.h>

#include "devices/network/network_rig.h"
#include "devices/transfer_test.h"
#include "net/offload.h"

namespace emu {
namespace {

using namespace e1000;
using namespace e1000e;

constexpr u8 kSlot = pci::devfn(3, 0);
constexpr u64 kTxRing = 0x1000, kRxRing = 0x2000, kBuffers = 0x10000;
constexpr u64 kMsixBar = 0xe0000000;
constexpr u32 kMsixControl = 0xa2, kMsixEnabled = 0x8000;

struct CardRig : NetworkRig {
  E1000e card{bus, kSlot, "nic0", kTestMac, net, clock};

  CardRig() {
    card.reset();
    write(kSlot, 0x1c, kMsixBar, 4);
    enable(kSlot);
  }
  u32 get(u32 offset) { return static_cast<u32>(card.registers().read(offset, 4)); }
  void set(u32 offset, u32 value) { card.registers().write(offset, 4, value); }
  // Vector n's message is n at address 0xfee00000; receive queue 0, transmit queue 0, other.
  void set_up_messages() {
    for (u32 v = 0; v < kVectors; ++v) {
      memory_space.store(kMsixBar + 16 * v, 4, 0xfee00000);
      memory_space.store(kMsixBar + 16 * v + 8, 4, v);
      memory_space.store(kMsixBar + 16 * v + 12, 4, 0);
    }
    write(kSlot, kMsixControl, kMsixEnabled, 2);
    set(kIvar, 0x80000000 | 0xa0908);  // other: 2, transmit: 1, receive: 0
    set(kEiac, kRxQueue0 | kTxQueue0);
  }
  // Which messages were sent since the last call.
  std::vector<u32> heard() {
    std::vector<u32> out;
    for (const auto& message : messages.messages) out.push_back(message.data);
    messages.messages.clear();
    return out;
  }
  void set_up_receive(u32 tail, unsigned queue = 0) {
    const u64 ring = kRxRing + 0x1000 * queue;
    set(kRdbal + kQueueStep * queue, static_cast<u32>(ring));
    set(kRdlen + kQueueStep * queue, 8 * 16);
    for (u32 i = 0; i < 8; ++i) {
      memory_space.store(ring + 16 * i, 8, kBuffers + 0x1000 * (i + 8 * queue));
    }
    set(kRctl, kRctlEnable | kRctlBroadcast | kRctlStripCrc);
    set(kRdt + kQueueStep * queue, tail);
  }
  u64 peek_le(u64 address, unsigned size) { return memory_space.load(address, size); }
};

using Data = std::vector<u32>;

TEST(E1000e, IdentityAndNvm) {
  CardRig rig;
  EXPECT_EQ(rig.read(kSlot, 0, 4), 0x10d38086u);
  EXPECT_NE(rig.get(kEecd) & kEecdAutoReadDone, 0u);
  u16 sum = 0;
  for (u32 i = 0; i < kEepromWords; ++i) {
    rig.set(kEerd, i << kEerdAddressShift | kEerdStart);
    EXPECT_NE(rig.get(kEerd) & e1000e::kEerdDone, 0u);
    sum = static_cast<u16>(sum + (rig.get(kEerd) >> 16));
  }
  EXPECT_EQ(sum, kEepromSum);
  rig.set(kMdic, kMdicRead | 1u << 21 | kPhyId2 << 16);
  EXPECT_EQ(rig.get(kMdic) & 0xffff, 0x0cb1u);
}

TEST(E1000e, SemaphoresAndTheMastersBrake) {
  CardRig rig;
  EXPECT_EQ(rig.get(kSwsm) & kSwsmLock, 0u) << "reading it takes it";
  EXPECT_EQ(rig.get(kSwsm) & kSwsmLock, kSwsmLock);
  rig.set(kSwsm, 0);
  EXPECT_EQ(rig.get(kSwsm) & kSwsmLock, 0u);
  rig.set(kExtcnfCtrl, 0x20);
  EXPECT_EQ(rig.get(kExtcnfCtrl) & 0x20, 0x20u) << "MDIO is the software's";
  EXPECT_NE(rig.get(kStatus) & kStatusMasterEnabled, 0u);
  rig.set(kCtrl, kCtrlMasterDisable);
  EXPECT_EQ(rig.get(kStatus) & kStatusMasterEnabled, 0u);
  rig.set(kCtrl, kCtrlReset);
  EXPECT_NE(rig.get(kStatus) & kStatusMasterEnabled, 0u);
}

TEST(E1000e, EachCauseHasItsMessage) {
  CardRig rig;
  rig.set_up_messages();
  rig.set_up_receive(7);
  rig.set(kIms, kRxQueue0 | kTxQueue0 | kOther | kLsc);
  rig.net.arrive(test_frame(100));
  EXPECT_EQ(rig.heard(), Data{0});
  EXPECT_EQ(rig.get(kIcr) & kRxQueue0, 0u) << "EIAC: cleared as the message left";
  rig.card.set_link(false);
  EXPECT_EQ(rig.heard(), Data{2});
  EXPECT_EQ(rig.get(kIcr) & (kOther | kLsc), kOther | kLsc);
  EXPECT_EQ(rig.get(kIcr) & kOther, 0u) << "reading acknowledged";
  rig.set(kIcs, kTxQueue0);
  EXPECT_EQ(rig.heard(), Data{1}) << "a driver may ask for one";
}

TEST(E1000e, MessageMasksItsCauseIfAsked) {
  CardRig rig;
  rig.set_up_messages();
  rig.set_up_receive(7);
  rig.set(kIam, ~0u);
  rig.set(kCtrlExt, kMessageAutoMask);
  rig.set(kIms, kRxQueue0 | kOther);
  rig.net.arrive(test_frame(100));
  rig.net.arrive(test_frame(100));
  EXPECT_EQ(rig.heard(), Data{0}) << "the second waits for the driver";
  EXPECT_EQ(rig.get(kIms), kOther);
  rig.set(kIms, kRxQueue0);
  EXPECT_EQ(rig.heard(), Data{0});
}

TEST(E1000e, MessagesAreModerated) {
  CardRig rig;
  rig.set_up_messages();
  rig.set(kEitr, 1000);  // vector 0: 256 us
  rig.set(kIms, kRxQueue0 | kTxQueue0);
  rig.set(kIcs, kRxQueue0);
  EXPECT_EQ(rig.heard(), Data{0}) << "the first one at once";
  rig.set(kIcs, kRxQueue0 | kTxQueue0);
  EXPECT_EQ(rig.heard(), Data{1});
  rig.clock.advance(255'000);
  EXPECT_EQ(rig.heard(), Data{});
  rig.clock.advance(1'000);
  EXPECT_EQ(rig.heard(), Data{0});
}

TEST(E1000e, PinNeedsNoSecondLook) {
  CardRig rig;
  const unsigned pin = PciBus::pirq_of(kSlot, 1);
  rig.set(kIam, ~0u);
  rig.set(kCtrlExt, kAutoMask);
  rig.set(kIcs, kLsc);
  rig.set(kIms, kLsc);
  EXPECT_TRUE(rig.pirqs.level(pin));
  EXPECT_NE(rig.get(kIcr) & kAsserted, 0u);
  EXPECT_EQ(rig.get(kIms), 0u) << "IAME: reading the causes masks them";
  EXPECT_FALSE(rig.pirqs.level(pin));
}

TEST(E1000e, ExtendedDescriptor) {
  CardRig rig;
  rig.set(kRfctl, kExtendedStatus);
  rig.set_up_receive(7);
  const auto frame = test_frame(100);
  rig.net.arrive(frame);
  EXPECT_EQ(rig.peek_le(kRxRing + 8, 4), u32{kRxDone | kRxEnd | kRxIgnoreChecksum});
  EXPECT_EQ(rig.peek_le(kRxRing + 12, 2), 100u);
  EXPECT_EQ(rig.peek(kBuffers, 100), frame);
}

// Ethernet, IPv4 without options and TCP, from 66.9.149.187:2794 to 161.142.100.80:1766: the first
// of Microsoft's examples of the Toeplitz hash.
std::vector<u8> tcp_frame(std::size_t bytes) {
  auto frame = test_frame(bytes);
  const u8 head[] = {0x08, 0, 0x45, 0,   0,   0,   0,    0,    0,    0,    64,   6,    0, 0,
                     66,   9, 149,  187, 161, 142, 100,  80,   0x0a, 0xea, 0x06, 0xe6, 0, 0,
                     0,    0, 0,    0,   0,   0,   0x50, 0x10, 0,    0,    0,    0,    0, 0};
  std::copy(std::begin(head), std::end(head), frame.begin() + 12);
  store_be(&frame[16], static_cast<u16>(bytes - 14));
  return frame;
}

TEST(E1000e, PacketSplit) {
  CardRig rig;
  rig.set(kRfctl, kExtendedStatus);
  rig.set(kPsrctl, 2 | 1 << 8 | 1 << 16);  // 256 bytes, 1 KiB, 1 KiB
  rig.set_up_receive(0);
  for (u64 i = 0; i < 4; ++i) rig.memory_space.store(kRxRing + 8 * i, 8, kBuffers + 0x1000 * i);
  rig.set(kRctl, rig.get(kRctl) | kPacketSplit | kRctlLong);
  rig.set(kRdt, 4);  // two descriptors: the tail counts 16 bytes
  const auto frame = tcp_frame(1600);
  ASSERT_TRUE(rig.net.arrive(frame));
  EXPECT_EQ(rig.peek_le(kRxRing + 12, 2), 54u) << "the headers";
  EXPECT_EQ(rig.peek_le(kRxRing + 16, 2), 0x8000u | 54);
  EXPECT_EQ(rig.peek_le(kRxRing + 18, 2), 1024u);
  EXPECT_EQ(rig.peek_le(kRxRing + 20, 2), 1600u - 54 - 1024);
  EXPECT_EQ(rig.peek(kBuffers + 0x1000, 1024), std::vector(&frame[54], &frame[54 + 1024]));
  EXPECT_EQ(rig.get(kRdh), 2u);
}

TEST(E1000e, FramesAreSpreadByTheirHash) {
  CardRig rig;
  const u8 key[] = {0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67,
                    0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb,
                    0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30,
                    0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa};
  for (u32 i = 0; i < sizeof key; i += 4) rig.set(kRssrk + i, load_le<u32>(&key[i]));
  rig.set(kRfctl, kExtendedStatus);
  rig.set(kRxcsum, kPacketChecksumDisable);
  rig.set(kMrqc, kMrqcRss | kHashTcp4);
  rig.set_up_receive(7);
  rig.set_up_receive(7, 1);
  constexpr u32 kHash = 0x51ccc178;  // from the example
  rig.set(kReta + kHash % kRedirections / 4 * 4, 0x80u << kHash % 4 * 8);
  rig.net.arrive(tcp_frame(100));
  EXPECT_EQ(rig.get(kRdh), 0u);
  EXPECT_EQ(rig.get(kRdh + kQueueStep), 1u);
  EXPECT_EQ(rig.peek_le(kRxRing + 0x1000, 4), 0x100u | kTypeTcp4);
  EXPECT_EQ(rig.peek_le(kRxRing + 0x1004, 4), kHash);
  rig.net.arrive(test_frame(100));
  EXPECT_EQ(rig.get(kRdh), 1u) << "what has no hash goes to queue 0";
}

TEST(E1000e, SecondTransmitQueue) {
  CardRig rig;
  rig.set(kTdbal + kQueueStep, kTxRing);
  rig.set(kTdlen + kQueueStep, 8 * 16);
  rig.set(kTctl, kTctlEnable);
  const auto frame = test_frame(100);
  rig.poke(kBuffers, frame);
  rig.memory_space.store(kTxRing, 8, kBuffers);
  rig.memory_space.store(kTxRing + 8, 8, 100 | kTxEnd | kTxReport);
  rig.set(kTdt + kQueueStep, 1);
  ASSERT_EQ(rig.net.sent.size(), 1u);
  EXPECT_EQ(rig.net.sent[0].bytes, frame);
  EXPECT_NE(rig.get(kIcr) & kTxQueue0 << 1, 0u);
}

TEST(E1000e, ClockRuns) {
  CardRig rig;
  rig.set(kTiminca, 1 << 24 | 40);
  rig.set(kSystiml, 1000);
  rig.set(kSystimh, 0);
  rig.clock.advance(4'000);
  EXPECT_EQ(rig.get(kSystiml), 1000u + 4'000);
  EXPECT_EQ(rig.get(kSystimh), 0u);
}

TEST(E1000e, RingAtItsOwnRegistersIsNobodysRing) {
  CardRig rig;
  constexpr u32 kRegisters = 0xe1000000;
  rig.write(kSlot, 0x10, kRegisters, 4);
  rig.set_up_receive(7);
  rig.set(kRdbal, kRegisters);
  rig.memory_space.store(kRegisters + kTctl, 4, kTctlEnable);
  rig.net.arrive(test_frame(100));
  rig.set(kTdbal, kRegisters);
  rig.set(kTdlen, 8 * 16);
  rig.set(kTdt, 7);
  EXPECT_TRUE(rig.net.sent.empty());
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
INSTANTIATE_TEST_SUITE_P(E1000e, TransferTest,
                         testing::Values(device_under_test<TransferRig>("e1000e")),
                         device_under_test_name);

}  // namespace
}  // namespace emu
