// SPDX-License-Identifier: Apache-2.0
#include "devices/chipset/mc146818.h"

#include "devices/recording_irq.h"
#include "devices/transfer_test.h"

namespace emu {
namespace {

// 2026-11-20 23:59:57, a Friday.
constexpr i64 kEvening = 1'795'219'197;

struct RtcRig final : DeviceRig {
  Mc146818 rtc{IrqLine(), clock, [] { return kEvening; }};
  Device& device() override { return rtc; }
  std::vector<RigWindow> windows() override { return {{&rtc.ports(), 4}}; }
  // Straight to the registers that matter.
  void poke(u64 random) override {
    rtc.ports().write(0, 1, random % 16);
    rtc.ports().write(1, 1, random >> 8 & 0xff);
    if (random >> 20 & 1) clock.advance(random % (10 * kNsPerSecond));
  }
};
INSTANTIATE_TEST_SUITE_P(Mc146818, TransferTest,
                         testing::Values(device_under_test<RtcRig>("mc146818")),
                         device_under_test_name);

struct Rtc : testing::Test {
  FakeClock clock;
  RecordingIrq irq;
  Mc146818 rtc{irq.line(), clock, [] { return kEvening; }};

  void out(u8 index, u8 value) {
    rtc.ports().write(0, 1, index);
    rtc.ports().write(1, 1, value);
  }
  unsigned in(u8 index) {
    rtc.ports().write(0, 1, index);
    return static_cast<unsigned>(rtc.ports().read(1, 1));
  }
  void advance_seconds(u64 n) { clock.advance(n * kNsPerSecond); }
};

TEST(Calendar, RoundTrips) {
  EXPECT_EQ(calendar_from_seconds(0), (CalendarTime{1970, 1, 1, 0, 0, 0, 5}));
  EXPECT_EQ(calendar_from_seconds(951'827'696), (CalendarTime{2000, 2, 29, 12, 34, 56, 3}));
  EXPECT_EQ(calendar_from_seconds(-1), (CalendarTime{1969, 12, 31, 23, 59, 59, 4}));
  for (i64 s = -3'000'000'000; s < 8'000'000'000; s += 123'456'789) {
    EXPECT_EQ(seconds_from_calendar(calendar_from_seconds(s)), s);
  }
  EXPECT_EQ(seconds_from_calendar({2026, 99, 99, 99, 99, 99, 0}),
            seconds_from_calendar({2026, 12, 31, 23, 59, 59, 0}));
}

TEST_F(Rtc, ShowsTheWallClockInBcdAndMovesOn) {
  EXPECT_EQ(in(0x04), 0x23u);
  EXPECT_EQ(in(0x02), 0x59u);
  EXPECT_EQ(in(0x00), 0x57u);
  EXPECT_EQ(in(0x07), 0x20u);
  EXPECT_EQ(in(0x08), 0x11u);
  EXPECT_EQ(in(0x09), 0x26u);
  EXPECT_EQ(in(0x32), 0x20u);
  EXPECT_EQ(in(0x06), 0x06u);
  advance_seconds(3);
  EXPECT_EQ(in(0x04), 0x00u);
  EXPECT_EQ(in(0x00), 0x00u);
  EXPECT_EQ(in(0x07), 0x21u);
  EXPECT_EQ(in(0x06), 0x07u);
  EXPECT_EQ(in(0x0d), 0x80u);
}

TEST_F(Rtc, TwelveHourAndBinaryModes) {
  out(0x0b, 0x80);  // SET, 12 hours, BCD
  rtc.set_time(kEvening);
  EXPECT_EQ(in(0x04), 0x91u);
  out(0x0b, 0x84);
  rtc.set_time(kEvening);
  EXPECT_EQ(in(0x04), 0x8bu);
  EXPECT_EQ(in(0x00), 57u);
  out(0x0b, 0x04);
  advance_seconds(3);
  EXPECT_EQ(in(0x04), 12u) << "midnight is 12 AM";
}

TEST_F(Rtc, SetStopsUpdatesAndTakesNewTime) {
  out(0x0b, 0x82);
  advance_seconds(10);
  EXPECT_EQ(in(0x00), 0x57u);
  EXPECT_EQ(in(0x0a) & 0x80, 0u);
  out(0x09, 0x99);
  out(0x32, 0x19);
  out(0x08, 0x12);
  out(0x07, 0x31);
  out(0x0b, 0x02);
  advance_seconds(3);
  EXPECT_EQ(in(0x09), 0x00u);
  EXPECT_EQ(in(0x32), 0x20u);
  EXPECT_EQ(in(0x08), 0x01u);
}

TEST_F(Rtc, DividerResetDelaysTheNextUpdateByHalfASecond) {
  clock.advance(kNsPerSecond + 300'000'000);
  out(0x0a, 0x70);
  EXPECT_EQ(in(0x00), 0x58u);
  advance_seconds(5);
  EXPECT_EQ(in(0x00), 0x58u);
  out(0x0a, 0x26);
  clock.advance(499'999'999);
  EXPECT_EQ(in(0x00), 0x58u);
  clock.advance(1);
  EXPECT_EQ(in(0x00), 0x59u);
}

TEST_F(Rtc, UpdateInProgressBeforeEachSecond) {
  EXPECT_EQ(in(0x0a), 0x26u);
  clock.advance(kNsPerSecond - 2'228'000 - 1);
  EXPECT_EQ(in(0x0a), 0x26u);
  clock.advance(1);
  EXPECT_EQ(in(0x0a), 0xa6u);
  clock.advance(2'228'000);
  EXPECT_EQ(in(0x0a), 0x26u);
}

TEST_F(Rtc, UpdateEndedInterrupt) {
  out(0x0b, 0x12);
  clock.advance(kNsPerSecond - 1);
  EXPECT_FALSE(irq.level());
  clock.advance(1);
  EXPECT_TRUE(irq.level());
  EXPECT_EQ(in(0x0c) & 0xb0, 0x90u);
  EXPECT_FALSE(irq.level());
  EXPECT_EQ(in(0x0c), 0x00u);
  advance_seconds(5);
  EXPECT_EQ(irq.take_rises(), 2u) << "the wire stays active until C is read";
}

TEST_F(Rtc, AlarmInterruptOnceADay) {
  out(0x05, 0x00);
  out(0x03, 0x00);
  out(0x01, 0x05);
  out(0x0b, 0x22);
  advance_seconds(7);
  EXPECT_FALSE(irq.level());
  advance_seconds(1);
  EXPECT_TRUE(irq.level());
  EXPECT_EQ(in(0x0c) & 0xa0, 0xa0u);
  advance_seconds(86'399);
  EXPECT_FALSE(irq.level());
  advance_seconds(1);
  EXPECT_TRUE(irq.level());
}

TEST_F(Rtc, AlarmWithWildcardsIsSeenByPolling) {
  out(0x05, 0xff);
  out(0x03, 0xff);
  out(0x01, 0x30);
  advance_seconds(32);
  EXPECT_EQ(in(0x0c) & 0x20, 0u);
  advance_seconds(200);
  EXPECT_EQ(in(0x0c) & 0xa0, 0x20u) << "a flag without its enable does not interrupt";
}

TEST_F(Rtc, PeriodicInterrupt) {
  out(0x0b, 0x42);
  clock.advance(976'562);
  EXPECT_FALSE(irq.level());
  clock.advance(1);
  EXPECT_TRUE(irq.level());
  unsigned ticks = 0;
  for (int i = 0; i < 100'000; ++i) {
    clock.advance(10'000);
    if (irq.level()) {
      ++ticks;
      EXPECT_EQ(in(0x0c) & 0xc0, 0xc0u);
    }
  }
  EXPECT_NEAR(ticks, 1024, 2);
}

TEST_F(Rtc, PeriodicRates) {
  const auto first_tick_ns = [&](u8 rate) {
    out(0x0b, 0x02);
    out(0x0a, 0x60);
    out(0x0a, static_cast<u8>(0x20 | rate));
    static_cast<void>(in(0x0c));
    out(0x0b, 0x42);
    const u64 start = clock.now_ns();
    return clock.next_deadline_ns() - start;
  };
  EXPECT_EQ(first_tick_ns(1), 3'906'250u);
  EXPECT_EQ(first_tick_ns(2), 7'812'500u);
  EXPECT_EQ(first_tick_ns(3), 122'071u);
  EXPECT_EQ(first_tick_ns(15), 500'000'000u);
}

TEST_F(Rtc, MemorySurvivesReset) {
  rtc.set_cmos(0x3d, 0x21);
  rtc.set_cmos(0xb4, 0x77);
  out(0x40, 0x55);
  rtc.ports().write(2, 1, 0x7f);
  rtc.ports().write(3, 1, 0x66);
  out(0x0b, 0x72);
  rtc.reset();
  EXPECT_EQ(in(0x3d), 0x21u);
  EXPECT_EQ(in(0x40), 0x55u);
  EXPECT_EQ(in(0x0b), 0x02u);
  rtc.ports().write(2, 1, 0x34);
  EXPECT_EQ(rtc.ports().read(3, 1), 0x77u);
  EXPECT_EQ(rtc.cmos(0xff), 0x66);
}

}  // namespace
}  // namespace emu
