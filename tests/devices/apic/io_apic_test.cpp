// SPDX-License-Identifier: Apache-2.0
#include "devices/chipset/io_apic.h"

#include <gtest/gtest.h>

#include "devices/apic/apic_rig.h"
#include "devices/transfer_test.h"

namespace emu {
namespace {

constexpr u32 kMasked = 1 << 16, kLevel = 1 << 15, kRemoteIrr = 1 << 14;

struct IoApicRig : ApicRig {
  IoApic ioapic{bus};
  IoApicRig() : ApicRig(2) {
    ioapic.reset();
    enable_all();
  }
  u32 in(u8 number) {
    ioapic.write(0x00, 4, number);
    return static_cast<u32>(ioapic.read(0x10, 4));
  }
  void out(u8 number, u32 value) {
    ioapic.write(0x00, 4, number);
    ioapic.write(0x10, 4, value);
  }
};

TEST(IoApic, Registers) {
  IoApicRig rig;
  EXPECT_EQ(rig.in(1), 0x00170020u) << "24 inputs, with EOI register";
  rig.out(0, 0xff000000);
  EXPECT_EQ(rig.in(0), 0x0f000000u);
  EXPECT_EQ(rig.in(2), 0x0f000000u);
  EXPECT_EQ(rig.in(0x10 + 2 * 23), kMasked);
  rig.out(0x10, 0xffffffff);
  rig.out(0x11, 0xffffffff);
  EXPECT_EQ(rig.in(0x10), 0x1afffu) << "status bits are read-only";
  EXPECT_EQ(rig.in(0x11), 0xff000000u);
  EXPECT_EQ(rig.in(0x40), 0u) << "beyond the last input";
  rig.out(0x40, 1);
}

TEST(IoApic, EdgeInputs) {
  IoApicRig rig;
  rig.out(0x10 + 2 * 4, 0x34);
  rig.out(0x11 + 2 * 4, 0x01000000);
  rig.ioapic.set_irq(4, true);
  EXPECT_EQ(rig.serve(1), "34");
  rig.ioapic.set_irq(4, true);
  EXPECT_EQ(rig.next(1), "-") << "no new edge";
  rig.ioapic.set_irq(4, false);
  rig.ioapic.set_irq(4, true);
  EXPECT_EQ(rig.serve(1), "34");
  rig.ioapic.set_irq(4, false);
  rig.out(0x10 + 2 * 4, kMasked | 0x34);
  rig.ioapic.set_irq(4, true);
  rig.out(0x10 + 2 * 4, 0x34);
  EXPECT_EQ(rig.next(1), "-") << "edges on a masked input are lost";
}

TEST(IoApic, LevelInputRepeatsUntilItDrops) {
  IoApicRig rig;
  rig.out(0x10 + 2 * 10, kLevel | 0x5a);
  rig.ioapic.set_irq(10, true);
  EXPECT_EQ(rig.in(0x10 + 2 * 10), kLevel | kRemoteIrr | 0x5a);
  EXPECT_EQ(rig.next(), "5a");
  EXPECT_EQ(rig.get(lapic::kTmr + 2), 1u << 0x1a);
  rig.set(lapic::kEoi, 0);
  EXPECT_EQ(rig.next(), "5a") << "still active";
  rig.ioapic.set_irq(10, false);
  rig.set(lapic::kEoi, 0);
  EXPECT_EQ(rig.next(), "-");
  EXPECT_EQ(rig.in(0x10 + 2 * 10), kLevel | 0x5a);
}

TEST(IoApic, LevelInputIsSeenWhenUnmasked) {
  IoApicRig rig;
  rig.out(0x10 + 2 * 10, kMasked | kLevel | 0x5a);
  rig.ioapic.set_irq(10, true);
  EXPECT_EQ(rig.next(), "-");
  rig.out(0x10 + 2 * 10, kLevel | 0x5a);
  EXPECT_EQ(rig.next(), "5a");
  rig.out(0x10 + 2 * 10, kMasked | kLevel | 0x5a);
  rig.set(lapic::kEoi, 0);
  EXPECT_EQ(rig.next(), "-");
  EXPECT_EQ(rig.in(0x10 + 2 * 10), kMasked | kLevel | 0x5a) << "EOI reaches a masked input";
}

TEST(IoApic, SuppressedBroadcastNeedsTheEoiRegister) {
  IoApicRig rig;
  rig.set(lapic::kSvr, 0x11ff);
  rig.out(0x10 + 2 * 10, kLevel | 0x5a);
  rig.ioapic.set_irq(10, true);
  EXPECT_EQ(rig.serve(), "5a");
  EXPECT_EQ(rig.next(), "-");
  rig.ioapic.write(0x40, 4, 0x5b);
  EXPECT_EQ(rig.next(), "-") << "another vector";
  rig.ioapic.write(0x40, 4, 0x5a);
  EXPECT_EQ(rig.next(), "5a");
}

TEST(IoApic, EdgeModeClearsRemoteIrr) {
  IoApicRig rig;
  rig.out(0x10 + 2 * 10, kLevel | 0x5a);
  rig.ioapic.set_irq(10, true);
  rig.out(0x10 + 2 * 10, kMasked | 0x5a);
  EXPECT_EQ(rig.in(0x10 + 2 * 10), kMasked | 0x5au);
}

TEST(IoApic, NmiInput) {
  IoApicRig rig;
  rig.out(0x10 + 2 * 3, 0x400);
  rig.ioapic.set_irq(3, true);
  EXPECT_EQ(rig.cpus[0].take_events(), "nmi ");
}

TEST(IoApic, RestoredLevelIsNoEdge) {
  IoApicRig rig;
  rig.out(0x10 + 2 * 4, 0x34);
  rig.ioapic.restore_irq(4, true);
  EXPECT_EQ(rig.next(), "-");
  rig.ioapic.set_irq(4, true);
  EXPECT_EQ(rig.next(), "-");
}

struct TransferRig final : DeviceRig {
  IoApicRig rig;
  Device& device() override { return rig.ioapic; }
  std::vector<RigWindow> windows() override { return {{&rig.ioapic, 0x50, {4, 4, false}}}; }
  void poke(u64 random) override { rig.ioapic.set_irq(random & 31, (random & 64) != 0); }
};
INSTANTIATE_TEST_SUITE_P(IoApic, TransferTest,
                         testing::Values(device_under_test<TransferRig>("io_apic")),
                         device_under_test_name);

}  // namespace
}  // namespace emu
