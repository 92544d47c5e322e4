// SPDX-License-Identifier: Apache-2.0
// Chips between an engine's form of them and the state structs of our models.
// Source: the data sheets of 8259A and 8254; Intel SDM vol. 3, 11.5.4.
#include "machine/engine_chips.h"

#include <gtest/gtest.h>

namespace emu {
namespace {

TEST(EngineChips, A8259CrossesBothWays) {
  I8259State s;
  s.lines = 0x81;
  s.irr = 0x12;
  s.imr = 0xf0;
  s.isr = 0x04;
  s.elcr = 0x08;
  s.vector_base = 0x70;
  s.lowest_priority = 2;
  s.icw_expected = 4;
  s.icw4_follows = s.auto_eoi = s.special_mask = s.reads_isr = true;
  const EnginePic pic = to_engine(s);
  EXPECT_EQ(pic.highest_priority, 3);
  EXPECT_EQ(pic.icw_expected, 3);
  const I8259State back = from_engine(pic, s);
  EXPECT_EQ(back.lines, s.lines);
  EXPECT_EQ(back.irr, s.irr);
  EXPECT_EQ(back.imr, s.imr);
  EXPECT_EQ(back.isr, s.isr);
  EXPECT_EQ(back.elcr, s.elcr);
  EXPECT_EQ(back.vector_base, s.vector_base);
  EXPECT_EQ(back.lowest_priority, s.lowest_priority);
  EXPECT_EQ(back.icw_expected, s.icw_expected);
  EXPECT_TRUE(back.icw4_follows && back.auto_eoi && back.special_mask && back.reads_isr);
  EXPECT_FALSE(back.rotate_on_auto_eoi || back.special_fully_nested || back.poll);
}

TEST(EngineChips, AnInitialized8259StaysSo) {
  const I8259State fresh;
  EXPECT_EQ(to_engine(fresh).icw_expected, 0);
  EXPECT_EQ(from_engine(to_engine(fresh), fresh).icw_expected, 0);
}

TEST(EngineChips, ACounterLivesThroughItsAge) {
  EnginePitCounter c;
  c.mode = 2;
  c.count = 1000;
  c.age_ns = 0;
  EXPECT_EQ(from_engine(c).count, 1000u);
  c.age_ns = 1'000'000;  // 1193 ticks of 838 ns: 193 of the second period
  EXPECT_NEAR(from_engine(c).count, 1000 - 193, 1);
  c.mode = 0;
  c.age_ns = 100'000;  // 119 ticks
  EXPECT_FALSE(from_engine(c).out);
  EXPECT_NEAR(from_engine(c).count, 1000 - 119, 1);
  c.age_ns = 1'000'000;
  EXPECT_TRUE(from_engine(c).out);
}

TEST(EngineChips, ACounterCrossesBothWays) {
  PitCounter counter(true);
  counter.write_control(0x36);
  counter.write(0x34);
  counter.write(0x12);
  counter.advance(5);
  counter.latch_count();
  (void)counter.read();
  counter.write(0x78);
  const EnginePitCounter c = to_engine(counter.state());
  EXPECT_EQ(c.mode, 3);
  EXPECT_EQ(c.count, 0x1234);
  EXPECT_TRUE(c.write_high_next && c.has_latched_count && c.latched_high_next);
  PitCounter back(false);
  back.set_state(from_engine(c));
  EXPECT_EQ(back.read(), counter.state().latched_count >> 8);
  back.write(0x56);
  EXPECT_EQ(back.state().count_register, 0x5678);
}

TEST(EngineChips, ACounterThatNobodyProgrammedStaysSo) {
  EXPECT_EQ(to_engine(PitCounter(true).state()).mode, 0xff);
  EXPECT_FALSE(from_engine(EnginePitCounter{}).counting);
}

TEST(EngineChips, ALocalApicsTimerGoesOnFromItsCount) {
  using namespace lapic;
  constexpr u64 kNow = 1'000'000'000;
  EngineLocalApic apic;
  apic.base = kBaseDefault | kBaseEnable;
  apic.registers[kLvtTimer] = 0x40;
  apic.registers[kTimerDivide] = 0;  // by 2
  apic.registers[kTimerInitial] = 1000;
  apic.registers[kTimerCurrent] = 400;
  const LocalApicState s = from_engine(apic, {}, kNow);
  EXPECT_EQ(s.timer_start_ns, kNow - 1200);
  EXPECT_EQ(s.timer_deadline_ns, kNow + 800);
  const EngineLocalApic back = to_engine(s, 400);
  EXPECT_EQ(back.registers[kTimerInitial], 1000u);
  EXPECT_EQ(back.registers[kTimerCurrent], 400u);
}

TEST(EngineChips, AnExpiredOneShotDoesNotFireAgain) {
  using namespace lapic;
  LocalApicState s;
  s.registers[kLvtTimer] = 0x40;
  s.registers[kTimerInitial] = 1000;
  s.timer_deadline_ns = kNever;
  EXPECT_EQ(to_engine(s, 0).registers[kTimerInitial], 0u);
  s.registers[kLvtTimer] = 0x40 | kTimerPeriodic;
  EXPECT_EQ(to_engine(s, 0).registers[kTimerInitial], 1000u);
}

}  // namespace
}  // namespace emu
