// SPDX-License-Identifier: Apache-2.0
#include "devices/chipset/local_apic.h"

#include <gtest/gtest.h>

#include "devices/apic/apic_rig.h"
#include "devices/transfer_test.h"

namespace emu {
namespace {

using namespace lapic;

constexpr DeliveryMode kFixed = DeliveryMode::kFixed;

TEST(LocalApic, ResetState) {
  ApicRig rig(2);
  EXPECT_EQ(rig.apic(0).read_msr(kMsrBase), 0xfee00900u);
  EXPECT_EQ(rig.apic(1).read_msr(kMsrBase), 0xfee00800u);
  EXPECT_EQ(rig.get(kId, 1), 0x01000000u);
  EXPECT_EQ(rig.get(kVersion), 0x01060014u);
  EXPECT_EQ(rig.get(kSvr), 0xffu);
  EXPECT_EQ(rig.get(kDfr), 0xffffffffu);
  EXPECT_EQ(rig.get(kLvtLint0, 0), 0x700u) << "the boot processor hears the 8259";
  EXPECT_EQ(rig.get(kLvtLint0, 1), 0x10000u);
  EXPECT_EQ(rig.get(kLvtTimer), 0x10000u);
}

TEST(LocalApic, DeliversByPriorityAndNests) {
  ApicRig rig;
  rig.apic().accept(kFixed, 0x31, false);
  EXPECT_EQ(rig.next(), "-") << "disabled by software: nothing is accepted";
  rig.enable_all();
  rig.apic().accept(kFixed, 0x31, false);
  rig.apic().accept(kFixed, 0x52, false);
  rig.apic().accept(kFixed, 0x55, false);
  EXPECT_EQ(rig.get(kIrr + 1), 1u << 0x11);
  EXPECT_EQ(rig.next(), "55");
  EXPECT_EQ(rig.get(kPpr), 0x50u);
  EXPECT_EQ(rig.next(), "-") << "52h is of the class in service";
  rig.apic().accept(kFixed, 0x60, false);
  EXPECT_EQ(rig.next(), "60");
  rig.set(kEoi, 0);
  EXPECT_EQ(rig.next(), "-");
  rig.set(kEoi, 0);
  EXPECT_EQ(rig.serve(), "52");
  EXPECT_EQ(rig.serve(), "31");
  EXPECT_EQ(rig.next(), "-");
  EXPECT_EQ(rig.get(kPpr), 0u);
}

TEST(LocalApic, TaskPriorityHoldsBack) {
  ApicRig rig;
  rig.enable_all();
  rig.set(kTpr, 0x50);
  EXPECT_EQ(rig.apic().task_priority(), 5u);
  rig.apic().accept(kFixed, 0x5f, false);
  EXPECT_FALSE(rig.cpus[0].line);
  rig.apic().set_task_priority(4);
  EXPECT_TRUE(rig.cpus[0].line);
  rig.apic().set_task_priority(15);
  EXPECT_FALSE(rig.cpus[0].line) << "the request is withdrawn";
  EXPECT_FALSE(rig.apic().acknowledge().has_value());
  EXPECT_EQ(rig.get(kTpr), 0xf0u);
}

TEST(LocalApic, PicPassesThroughLint0) {
  ApicRig rig;
  rig.apic().set_irq(0, true);
  EXPECT_EQ(rig.next(), "08");
  rig.apic().set_irq(0, false);
  EXPECT_EQ(rig.next(), "-");
  rig.enable_all();
  rig.set(kLvtLint0, 0x10700);
  rig.apic().set_irq(0, true);
  EXPECT_EQ(rig.next(), "-") << "masked";
  rig.set(kLvtLint0, 0x700);
  EXPECT_EQ(rig.next(), "08") << "it is a level";
  rig.set(kLvtLint0, 0x10700);
  EXPECT_TRUE(rig.apic().write_msr(kMsrBase, 0xfee00000));
  EXPECT_EQ(rig.next(), "08") << "without APIC the pin is INTR";
}

TEST(LocalApic, Lint0CanBeAnEdge) {
  ApicRig rig;
  rig.enable_all();
  rig.set(kLvtLint0, 0x30);
  rig.apic().set_irq(0, true);
  EXPECT_EQ(rig.serve(), "30");
  EXPECT_EQ(rig.next(), "-");
}

TEST(LocalApic, Lint1IsNmi) {
  ApicRig rig;
  rig.enable_all();
  rig.apic().set_irq(1, true);
  EXPECT_EQ(rig.cpus[0].take_events(), "") << "masked after reset";
  rig.set(kLvtLint1, 0x400);
  rig.apic().set_irq(1, false);
  rig.apic().set_irq(1, true);
  rig.apic().set_irq(1, true);
  EXPECT_EQ(rig.cpus[0].take_events(), "nmi ");
}

TEST(LocalApic, DisablingMasksLocalVectors) {
  ApicRig rig;
  rig.enable_all();
  rig.set(kLvtTimer, 0x20);
  rig.set(kSvr, 0xff);
  EXPECT_EQ(rig.get(kLvtTimer), 0x10020u);
  rig.set(kLvtTimer, 0x21);
  EXPECT_EQ(rig.get(kLvtTimer), 0x10021u) << "stays masked";
}

TEST(LocalApic, IllegalVectorsAndRegistersSetErrors) {
  ApicRig rig;
  rig.enable_all();
  rig.set(kLvtError, 0xfe);
  EXPECT_FALSE(rig.apic().accept(kFixed, 0x0f, false));
  EXPECT_EQ(rig.serve(), "fe");
  EXPECT_EQ(rig.get(kEsr), 0u) << "latched by a write only";
  rig.set(kEsr, 0);
  EXPECT_EQ(rig.get(kEsr), 0x40u);
  rig.set(kIcr, 1 << 18 | 3);
  rig.set(0x3d, 0);
  rig.set(kEsr, 0);
  EXPECT_EQ(rig.get(kEsr), 0xa0u);
  rig.set(kEsr, 0);
  EXPECT_EQ(rig.get(kEsr), 0u);
  rig.set(kLvtError, 0x05);
  rig.apic().accept(kFixed, 3, false);
  rig.set(kEsr, 0);
  EXPECT_EQ(rig.get(kEsr), 0x40u) << "an illegal error vector ends there";
}

TEST(LocalApicTimer, OneShotCountsDown) {
  ApicRig rig;
  rig.enable_all();
  rig.set(kTimerDivide, 0x03);  // by 16
  rig.set(kLvtTimer, 0x40);
  rig.set(kTimerInitial, 1000);
  rig.clock.advance(15'999);
  EXPECT_EQ(rig.get(kTimerCurrent), 1u);
  EXPECT_EQ(rig.next(), "-");
  rig.clock.advance(1);
  EXPECT_EQ(rig.serve(), "40");
  EXPECT_EQ(rig.get(kTimerCurrent), 0u);
  rig.clock.advance(1'000'000);
  EXPECT_EQ(rig.next(), "-");
}

TEST(LocalApicTimer, Divisors) {
  ApicRig rig;
  const std::pair<u32, u32> divisors[] = {{0, 2},  {1, 4},  {2, 8},    {3, 16},
                                          {8, 32}, {9, 64}, {10, 128}, {11, 1}};
  for (const auto& [code, divisor] : divisors) {
    rig.set(kTimerDivide, code);
    rig.set(kTimerInitial, 1000);
    rig.clock.advance(128);
    EXPECT_EQ(rig.get(kTimerCurrent), 1000 - 128 / divisor) << divisor;
  }
}

TEST(LocalApicTimer, ChangedDivisorGoesOnFromTheCount) {
  ApicRig rig;
  rig.enable_all();
  rig.set(kLvtTimer, 0x40);
  rig.set(kTimerDivide, 0x0b);
  rig.set(kTimerInitial, 1000);
  rig.clock.advance(400);
  rig.set(kTimerDivide, 0);
  EXPECT_EQ(rig.get(kTimerCurrent), 600u);
  rig.clock.advance(1199);
  EXPECT_EQ(rig.next(), "-");
  rig.clock.advance(1);
  EXPECT_EQ(rig.next(), "40");
}

TEST(LocalApicTimer, PeriodicRepeats) {
  ApicRig rig;
  rig.enable_all();
  rig.set(kTimerDivide, 0x0b);
  rig.set(kLvtTimer, kTimerPeriodic | 0x41);
  rig.set(kTimerInitial, 1'000'000);
  for (int i = 0; i < 3; ++i) {
    rig.clock.advance(999'999);
    EXPECT_EQ(rig.next(), "-");
    rig.clock.advance(1);
    EXPECT_EQ(rig.serve(), "41");
  }
  EXPECT_EQ(rig.get(kTimerCurrent), 1'000'000u);
  rig.set(kTimerInitial, 0);
  rig.clock.advance(5'000'000);
  EXPECT_EQ(rig.next(), "-");
}

TEST(LocalApicTimer, TinyPeriodsAreStretched) {
  ApicRig rig;
  rig.enable_all();
  rig.set(kLvtTimer, kTimerPeriodic | 0x41);
  rig.set(kTimerDivide, 0x0b);
  rig.set(kTimerInitial, 1);
  EXPECT_EQ(rig.clock.next_deadline_ns(), LocalApic::kMinPeriodNs);
}

TEST(LocalApicTimer, TscDeadline) {
  ApicRig rig;
  rig.enable_all();
  EXPECT_TRUE(rig.apic().write_msr(kMsrTscDeadline, 5000));
  EXPECT_EQ(rig.apic().read_msr(kMsrTscDeadline), 0u) << "not in this mode";
  rig.set(kLvtTimer, kTimerTscDeadline | 0x42);
  rig.set(kTimerInitial, 77);
  EXPECT_EQ(rig.get(kTimerInitial), 0u) << "ignored in this mode";
  EXPECT_TRUE(rig.apic().write_msr(kMsrTscDeadline, 5000));
  rig.clock.advance(2499);
  EXPECT_EQ(rig.apic().read_msr(kMsrTscDeadline), 5000u);
  rig.clock.advance(1);
  EXPECT_EQ(rig.serve(), "42");
  EXPECT_EQ(rig.apic().read_msr(kMsrTscDeadline), 0u);
  EXPECT_TRUE(rig.apic().write_msr(kMsrTscDeadline, 4000));
  EXPECT_EQ(rig.serve(), "42") << "a past deadline fires at once";
  EXPECT_TRUE(rig.apic().write_msr(kMsrTscDeadline, 10'000));
  rig.tsc.offset_ns = 1'000'000;
  rig.apic().tsc_changed();
  rig.clock.advance(10'000);
  EXPECT_EQ(rig.next(), "-");
  EXPECT_TRUE(rig.apic().write_msr(kMsrTscDeadline, 0));
  rig.clock.advance(10'000'000);
  EXPECT_EQ(rig.next(), "-") << "zero disarms";
}

TEST(LocalApicTimer, LeavingDeadlineModeDisarms) {
  ApicRig rig;
  rig.enable_all();
  rig.set(kLvtTimer, kTimerTscDeadline | 0x42);
  EXPECT_TRUE(rig.apic().write_msr(kMsrTscDeadline, 5000));
  rig.set(kLvtTimer, 0x42);
  rig.clock.advance(10'000);
  EXPECT_EQ(rig.next(), "-");
}

TEST(X2Apic, ModeTransitions) {
  ApicRig rig;
  LocalApic& apic = rig.apic();
  EXPECT_FALSE(apic.write_msr(kMsrBase, 0xfee00400)) << "x2APIC without enable";
  EXPECT_FALSE(apic.write_msr(kMsrBase, 0xfee00801)) << "reserved bit";
  EXPECT_FALSE(apic.write_msr(kMsrBase, u64{1} << 52 | 0xfee00800));
  EXPECT_FALSE(apic.read_msr(0x802).has_value()) << "no MSRs in xAPIC mode";
  EXPECT_TRUE(apic.write_msr(kMsrBase, 0xfee00c00));
  EXPECT_EQ(apic.read_msr(kMsrBase), 0xfee00d00u) << "BSP is read-only";
  EXPECT_FALSE(apic.write_msr(kMsrBase, 0xfee00800)) << "back to xAPIC";
  EXPECT_FALSE(apic.window_offset(0xfee00020).has_value()) << "no window";
  EXPECT_TRUE(apic.write_msr(kMsrBase, 0xfee00000));
  EXPECT_FALSE(apic.write_msr(kMsrBase, 0xfee00c00)) << "from disabled";
  EXPECT_TRUE(apic.write_msr(kMsrBase, 0xfee00800));
}

TEST(LocalApic, WindowMovesWithBase) {
  ApicRig rig;
  EXPECT_EQ(rig.apic().window_offset(0xfee00080), 0x80u);
  EXPECT_FALSE(rig.apic().window_offset(0xfee01080).has_value());
  EXPECT_TRUE(rig.apic().write_msr(kMsrBase, 0xfe000800));
  EXPECT_EQ(rig.apic().window_offset(0xfe0000b0), 0xb0u);
  EXPECT_FALSE(rig.apic().window_offset(0xfee000b0).has_value());
}

TEST(X2Apic, RegistersAndTheirFaults) {
  ApicRig rig(19);
  LocalApic& apic = rig.apic(18);
  ASSERT_TRUE(apic.write_msr(kMsrBase, 0xfee00c00));
  EXPECT_EQ(apic.read_msr(0x802), 18u);
  EXPECT_EQ(apic.read_msr(0x80d), 0x10004u) << "cluster 1, bit 2";
  EXPECT_FALSE(apic.write_msr(0x802, 1)) << "ID is read-only";
  EXPECT_FALSE(apic.write_msr(0x80d, 1)) << "so is LDR";
  EXPECT_FALSE(apic.read_msr(0x80e).has_value()) << "no DFR";
  EXPECT_FALSE(apic.read_msr(0x80b).has_value()) << "EOI is write-only";
  EXPECT_FALSE(apic.write_msr(0x80b, 1)) << "and takes zero only";
  EXPECT_TRUE(apic.write_msr(0x80b, 0));
  EXPECT_FALSE(apic.write_msr(0x808, 0x100)) << "reserved bits of TPR";
  EXPECT_TRUE(apic.write_msr(0x808, 0x20));
  EXPECT_EQ(apic.read_msr(0x80a), 0x20u);
  EXPECT_FALSE(apic.write_msr(0x828, 1)) << "ESR takes zero only";
  EXPECT_FALSE(apic.read_msr(0x831).has_value()) << "ICR is one register";
  EXPECT_FALSE(apic.read_msr(0x8ff).has_value());
  EXPECT_FALSE(apic.read_msr(0x83f).has_value());
  EXPECT_TRUE(apic.write_msr(0x80f, 0x1ff));
  EXPECT_TRUE(apic.write_msr(0x835, 0x5700)) << "status bits come back as they were read";
  EXPECT_EQ(apic.read_msr(0x835), 0x700u);
  EXPECT_FALSE(apic.write_msr(0x835, 0x800)) << "a reserved bit";
  EXPECT_TRUE(apic.write_msr(0x83f, 0x77));
  EXPECT_EQ(rig.next(18), "77") << "SELF IPI";
}

TEST(LocalApicState, LoadedTimerFiresAndLineComesBack) {
  ApicRig from;
  from.enable_all();
  from.set(kTimerDivide, 0x0b);
  from.set(kLvtTimer, 0x40);
  from.set(kTimerInitial, 1000);
  from.apic().accept(kFixed, 0x99, false);
  StateIo out = StateIo::saver();
  from.apic().transfer(out);

  ApicRig to;
  StateIo in = StateIo::loader(out.bytes());
  to.apic().transfer(in);
  ASSERT_TRUE(in.finish());
  EXPECT_FALSE(to.cpus[0].line);
  to.apic().resumed();
  EXPECT_EQ(to.serve(), "99");
  to.clock.advance(1000);
  EXPECT_EQ(to.serve(), "40");
}

struct TransferRig final : DeviceRig {
  ApicBus bus{[] { return u8{8}; }};
  RecordingCpu cpu;
  DoubleTsc tsc;
  LocalApic apic{{bus, cpu, clock, tsc}, 3, false};
  Device& device() override { return apic; }
  std::vector<RigWindow> windows() override { return {{&apic, 0x400, {4, 4, false}}}; }
  void poke(u64 random) override {
    switch (random % 5) {
      case 0:
        return apic.set_irq(random >> 8 & 1, (random & 0x1000) != 0);
      case 1:
        static_cast<void>(apic.acknowledge());
        return;
      case 2:
        static_cast<void>(
            apic.write_msr(kMsrBase, 0xfee00000 | (random >> 8 & (kBaseEnable | kBaseX2apic))));
        return;
      case 3:
        static_cast<void>(apic.write_msr(kMsrX2apicFirst + (random >> 8) % 64, random >> 40));
        return;
      default:
        static_cast<void>(apic.write_msr(kMsrTscDeadline, clock.now_ns() * 2 + (random >> 44)));
    }
  }
};
INSTANTIATE_TEST_SUITE_P(LocalApic, TransferTest,
                         testing::Values(device_under_test<TransferRig>("local_apic")),
                         device_under_test_name);

}  // namespace
}  // namespace emu
