// SPDX-License-Identifier: Apache-2.0
// The waveforms of the data sheet's figures 15 to 20, tick by tick and in leaps.
#include "devices/chipset/pit_counter.h"

#include <gtest/gtest.h>

#include <random>

#include "base/vm_time.h"

namespace emu {
namespace {

constexpr u8 control(u8 mode, bool bcd = false, u8 access = 1) {
  return static_cast<u8>(access << 4 | mode << 1 | (bcd ? 1 : 0));
}

// OUT after each of `ticks` ticks: '-' high, '_' low.
std::string wave(PitCounter& counter, unsigned ticks) {
  std::string levels;
  for (unsigned i = 0; i < ticks; ++i) {
    counter.advance(1);
    levels += counter.out() ? '-' : '_';
  }
  return levels;
}

PitCounter programmed(u8 mode, u8 count, bool gate = true) {
  PitCounter counter(gate);
  counter.write_control(control(mode));
  counter.write(count);
  return counter;
}

TEST(PitCounter, Mode0RisesOneTickAfterTheCount) {
  PitCounter c = programmed(0, 4);
  EXPECT_FALSE(c.out());
  EXPECT_EQ(c.next_rise(), 5u);
  EXPECT_EQ(wave(c, 8), "____----");
  EXPECT_EQ(c.read(), 0xfdu) << "counting goes on";
  c.write(2);
  EXPECT_FALSE(c.out()) << "a new count starts over";
  EXPECT_EQ(wave(c, 4), "__--");
}

TEST(PitCounter, Mode0GateStopsAndFirstByteStops) {
  PitCounter c = programmed(0, 3);
  c.advance(2);
  c.set_gate(false);
  EXPECT_EQ(c.next_event(), kNever);
  EXPECT_EQ(wave(c, 5), "_____");
  EXPECT_EQ(c.read(), 2u);
  c.set_gate(true);
  EXPECT_EQ(wave(c, 3), "_--");
  c.write_control(control(0, false, 3));
  c.write(2);
  EXPECT_EQ(wave(c, 100), std::string(100, '_'));
  c.write(0);
  EXPECT_EQ(wave(c, 4), "__--");
}

TEST(PitCounter, Mode1IsARetriggerableOneShot) {
  PitCounter c = programmed(1, 3, false);
  EXPECT_EQ(wave(c, 3), "---");
  c.set_gate(true);
  EXPECT_EQ(wave(c, 2), "__");
  c.set_gate(false);
  c.set_gate(true);
  EXPECT_EQ(wave(c, 6), "___---");
}

TEST(PitCounter, Mode2IsLowForTheLastTick) {
  PitCounter c = programmed(2, 3);
  EXPECT_EQ(wave(c, 10), "--_--_--_-");
  c.write(4);  // waits for the cycle's end
  EXPECT_EQ(wave(c, 8), "-_---_--");
  c.set_gate(false);
  EXPECT_TRUE(c.out());
  EXPECT_EQ(wave(c, 4), "----");
  c.set_gate(true);
  EXPECT_EQ(wave(c, 5), "---_-");
}

TEST(PitCounter, Mode3IsSquare) {
  PitCounter even = programmed(3, 4);
  EXPECT_EQ(wave(even, 9), "--__--__-");
  PitCounter odd = programmed(3, 5);
  EXPECT_EQ(wave(odd, 11), "---__---__-");
  PitCounter shortest = programmed(3, 1);
  EXPECT_EQ(wave(shortest, 4), "-_-_");
}

TEST(PitCounter, Mode3CountsByTwo) {
  PitCounter c = programmed(3, 8);
  std::string counts;
  for (int i = 0; i < 9; ++i) {
    c.advance(1);
    counts += static_cast<char>('0' + c.read());
  }
  EXPECT_EQ(counts, "864286428");
}

TEST(PitCounter, Mode4StrobesOnce) {
  PitCounter c = programmed(4, 3);
  EXPECT_EQ(wave(c, 8), "---_----");
  c.write(2);
  EXPECT_EQ(wave(c, 5), "--_--");
}

TEST(PitCounter, Mode5StrobesAfterTheTrigger) {
  PitCounter c = programmed(5, 3, false);
  EXPECT_EQ(wave(c, 4), "----");
  c.set_gate(true);
  EXPECT_EQ(wave(c, 6), "---_--");
  c.set_gate(false);
  c.set_gate(true);
  EXPECT_EQ(wave(c, 6), "---_--");
}

TEST(PitCounter, ZeroIsTheGreatestCount) {
  PitCounter binary = programmed(0, 0);
  EXPECT_EQ(binary.next_rise(), 65'537u);
  PitCounter decimal(true);
  decimal.write_control(control(0, true));
  decimal.write(0);
  EXPECT_EQ(decimal.next_rise(), 10'001u);
  decimal.advance(2);
  decimal.latch_count();
  EXPECT_EQ(decimal.read(), 0x99u);
}

TEST(PitCounter, LatchesHoldUntilRead) {
  PitCounter c(true);
  c.write_control(control(2, false, 3));
  c.write(0x34);
  c.write(0x12);
  c.latch_status();
  EXPECT_EQ(c.read(), 0xf4u) << "OUT high, null count";
  c.advance(1);
  c.latch_count();
  c.latch_status();
  c.advance(0x34);
  c.latch_count();  // ignored
  EXPECT_EQ(c.read(), 0xb4u);
  EXPECT_EQ(c.read(), 0x34u);
  EXPECT_EQ(c.read(), 0x12u);
  EXPECT_EQ(c.read(), 0x00u);
  EXPECT_EQ(c.read(), 0x12u);
}

// Leaping must end where walking ends, whatever the mode and the moments of change.
TEST(PitCounter, LeapsEqualSteps) {
  std::mt19937_64 random(1);
  for (int round = 0; round < 300; ++round) {
    PitCounter walker(random() % 2 != 0);
    PitCounter leaper = walker;
    for (int i = 0; i < 12; ++i) {
      const u8 byte = static_cast<u8>(random() % 3 == 0 ? random() % 6 : random());
      const u64 ticks = random() % 2 != 0 ? random() % 9 : random() % 2000;
      const u64 action = random() % 5;
      for (PitCounter* c : {&walker, &leaper}) {
        if (action == 0) c->write_control(byte);
        if (action == 1) c->set_gate((byte & 1) != 0);
        if (action > 1) c->write(byte);
      }
      for (unsigned t = 0; t < ticks; ++t) walker.advance(1);
      leaper.advance(ticks);
      ASSERT_EQ(walker.out(), leaper.out()) << "mode " << int{walker.state().mode};
      ASSERT_EQ(walker.state().count, leaper.state().count)
          << "mode " << int{walker.state().mode} << " round " << round;
      ASSERT_EQ(walker.next_event(), leaper.next_event());
    }
  }
}

}  // namespace
}  // namespace emu
