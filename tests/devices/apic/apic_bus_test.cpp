// SPDX-License-Identifier: Apache-2.0
// Messages between processors, and from devices.
#include "devices/chipset/apic_bus.h"

#include <gtest/gtest.h>

#include "devices/apic/apic_rig.h"

namespace emu {
namespace {

using namespace lapic;

constexpr u32 kToSelf = 1 << 18, kToAll = 2 << 18, kToOthers = 3 << 18;

// Which processors have an interrupt waiting, as digits; serves them.
std::string receivers(ApicRig& rig) {
  std::string who;
  for (unsigned i = 0; i < rig.apics.size(); ++i) {
    if (rig.serve(i) != "-") who += fmt::format("{}", i);
  }
  return who;
}

TEST(Ipi, PhysicalDestinations) {
  ApicRig rig(3);
  rig.enable_all();
  rig.set(kIcrHigh, 0x02000000);
  rig.set(kIcr, 0x45);
  EXPECT_EQ(rig.next(0), "-");
  EXPECT_EQ(rig.next(1), "-");
  EXPECT_EQ(rig.serve(2), "45");
  rig.set(kIcrHigh, 0xff000000);
  rig.set(kIcr, 0x45);
  EXPECT_EQ(receivers(rig), "012") << "FFh is everybody";
  rig.set(kIcrHigh, 0x07000000);
  rig.set(kIcr, 0x45);
  EXPECT_EQ(receivers(rig), "") << "nobody there";
}

TEST(Ipi, Shorthands) {
  ApicRig rig(3);
  rig.enable_all();
  rig.set(kIcr, kToSelf | 0x45, 1);
  EXPECT_EQ(receivers(rig), "1");
  rig.set(kIcr, kToAll | 0x45, 1);
  EXPECT_EQ(receivers(rig), "012");
  rig.set(kIcr, kToOthers | 0x45, 1);
  EXPECT_EQ(receivers(rig), "02");
}

TEST(Ipi, LogicalFlatAndCluster) {
  ApicRig rig(4);
  rig.enable_all();
  for (unsigned i = 0; i < 4; ++i) rig.set(kLdr, 1u << (24 + i), i);
  rig.set(kIcrHigh, 0x0a000000);
  rig.set(kIcr, kIcrLogical | 0x45);
  EXPECT_EQ(receivers(rig), "13");
  for (unsigned i = 0; i < 4; ++i) {
    rig.set(kDfr, 0x0fffffff, i);
    rig.set(kLdr, (i / 2) << 28 | 1u << (24 + i % 2), i);
  }
  rig.set(kIcrHigh, 0x13000000);
  rig.set(kIcr, kIcrLogical | 0x45);
  EXPECT_EQ(receivers(rig), "23");
  rig.set(kIcrHigh, 0x02000000);
  rig.set(kIcr, kIcrLogical | 0x45);
  EXPECT_EQ(receivers(rig), "1");
}

TEST(Ipi, X2ApicDestinations) {
  ApicRig rig(18);
  for (auto& apic : rig.apics) {
    ASSERT_TRUE(apic->write_msr(kMsrBase, 0xfee00c00));
    ASSERT_TRUE(apic->write_msr(0x80f, 0x1ff));
  }
  const auto served = [&rig] {
    std::string who;
    for (unsigned i = 0; i < 18; ++i) {
      if (rig.next(i) == "-") continue;
      who += fmt::format("{} ", i);
      EXPECT_TRUE(rig.apic(i).write_msr(0x80b, 0));
    }
    return who;
  };
  EXPECT_TRUE(rig.apic().write_msr(0x830, u64{17} << 32 | 0x45));
  EXPECT_EQ(served(), "17 ");
  EXPECT_TRUE(rig.apic().write_msr(0x830, u64{0x10003} << 32 | kIcrLogical | 0x45));
  EXPECT_EQ(served(), "16 17 ");
  EXPECT_TRUE(rig.apic().write_msr(0x830, u64{0x8001} << 32 | kIcrLogical | 0x45));
  EXPECT_EQ(served(), "0 15 ");
  EXPECT_TRUE(rig.apic().write_msr(0x830, u64{0xff} << 32 | 0x45));
  EXPECT_EQ(served(), "") << "FFh is an ordinary id here";
  rig.bus.send_msi(0xfeeff000, 0x45);
  EXPECT_EQ(served().size(), 10 * 2u + 8 * 3u) << "but a device's FFh is everybody";
}

TEST(Ipi, StartupSequence) {
  ApicRig rig(2);
  rig.enable_all();
  rig.set(kLvtTimer, 0x40, 1);
  rig.set(kIcrHigh, 0x01000000);
  rig.set(kIcr, 0xc500);  // INIT, level, assert
  EXPECT_EQ(rig.cpus[1].take_events(), "init ");
  EXPECT_EQ(rig.get(kSvr, 1), 0xffu) << "its APIC was reset";
  EXPECT_EQ(rig.get(kLvtTimer, 1), 0x10000u);
  EXPECT_EQ(rig.get(kId, 1), 0x01000000u);
  rig.set(kIcr, 0x8500);
  EXPECT_EQ(rig.cpus[1].take_events(), "") << "de-assertion is nothing";
  rig.set(kIcr, 0x4608);
  rig.set(kIcr, 0x4608);
  EXPECT_EQ(rig.cpus[1].take_events(), "sipi:08 sipi:08 ");
  rig.set(kIcr, 0x0400);
  EXPECT_EQ(rig.cpus[1].take_events(), "nmi ") << "needs no software enable";
  rig.set(kIcr, 0x0200);
  EXPECT_EQ(rig.cpus[1].take_events(), "smi ");
  rig.set(kIcr, kToOthers | 0x0400);
  EXPECT_EQ(rig.cpus[0].take_events(), "");
  EXPECT_EQ(rig.cpus[1].take_events(), "nmi ");
}

TEST(Ipi, LowestPriorityTakesOne) {
  ApicRig rig(3);
  rig.enable_all();
  for (unsigned i = 0; i < 3; ++i) rig.set(kLdr, 1u << (24 + i), i);
  rig.set(kTpr, 0x20, 0);
  rig.set(kIcrHigh, 0x07000000);
  rig.set(kIcr, kIcrLogical | 0x100 | 0x45);
  EXPECT_EQ(receivers(rig), "1");
  rig.set(kTpr, 0x30, 1);
  rig.set(kSvr, 0xff, 2);
  rig.set(kIcr, kIcrLogical | 0x100 | 0x45);
  EXPECT_EQ(receivers(rig), "0") << "a disabled one is no candidate";
}

TEST(Msi, AddressAndData) {
  ApicRig rig(2);
  rig.enable_all();
  rig.bus.send_msi(0xfee01000, 0x4061);
  EXPECT_EQ(rig.serve(1), "61");
  rig.bus.write(0x01000, 4, 0x62);
  EXPECT_EQ(rig.serve(1), "62") << "a plain memory write";
  EXPECT_EQ(rig.bus.read(0x01000, 4), 0xffffffffu);
  rig.bus.send_msi(0xfed01000, 0x61);
  rig.bus.send_msi(0x1fee01000, 0x61);
  EXPECT_EQ(receivers(rig), "") << "not an interrupt address";
  rig.bus.send_msi(0xfee00000, 0x0400);
  EXPECT_EQ(rig.cpus[0].take_events(), "nmi ");
  for (unsigned i = 0; i < 2; ++i) rig.set(kLdr, 1u << (24 + i), i);
  rig.bus.send_msi(0xfee03004, 0x61);
  EXPECT_EQ(receivers(rig), "01");
  rig.bus.send_msi(0xfee0300c, 0x61);
  EXPECT_EQ(receivers(rig), "0") << "the hint asks for one";
  rig.bus.send_msi(0xfee00000, 0x8061);
  EXPECT_EQ(receivers(rig), "") << "level de-assert";
}

}  // namespace
}  // namespace emu
