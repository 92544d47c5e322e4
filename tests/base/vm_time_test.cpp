// SPDX-License-Identifier: Apache-2.0
// Exact chip ticks, and the deterministic clock that device tests stand on.
#include "base/vm_time.h"

#include <gtest/gtest.h>

#include <string>

namespace emu {
namespace {

TEST(Frequency, PitTicksDoNotDriftOverADay) {
  const u64 day_ns = 86'400 * kNsPerSecond;
  EXPECT_EQ(kPitFrequency.ticks_at(day_ns), u64{86'400} * 3'579'545 / 3);
  EXPECT_EQ(kPitFrequency.ticks_at(kNsPerSecond), 1'193'181u);
}

TEST(Frequency, FirstNanosecondOfATick) {
  for (u64 tick = 1; tick < 5000; tick += 7) {
    const u64 ns = kPitFrequency.ns_at(tick);
    EXPECT_EQ(kPitFrequency.ticks_at(ns), tick);
    EXPECT_EQ(kPitFrequency.ticks_at(ns - 1), tick - 1);
  }
  EXPECT_EQ((Frequency{1, 1}.ns_at(~u64{0})), kNever);
}

TEST(FakeClock, FiresInOrderOfDeadlineThenOfCreation) {
  FakeClock clock;
  std::string fired;
  const auto c = clock.create_timer([&] { fired += 'c'; });
  const auto a = clock.create_timer([&] { fired += 'a'; });
  const auto b = clock.create_timer([&] { fired += 'b'; });
  a->arm(10);
  b->arm(20);
  c->arm(20);
  EXPECT_EQ(clock.next_deadline_ns(), 10u);
  clock.advance(15);
  EXPECT_EQ(fired, "a");
  clock.advance(5);
  EXPECT_EQ(fired, "acb");
  EXPECT_EQ(clock.next_deadline_ns(), kNever);
}

TEST(FakeClock, ATimerMayArmItselfAgainAndSeesItsOwnTime) {
  FakeClock clock;
  int ticks = 0;
  std::unique_ptr<Timer> timer;
  timer = clock.create_timer([&] {
    ++ticks;
    EXPECT_EQ(clock.now_ns(), static_cast<u64>(ticks) * 10);
    timer->arm(clock.now_ns() + 10);
  });
  timer->arm(10);
  clock.advance(105);
  EXPECT_EQ(ticks, 10);
  EXPECT_EQ(clock.now_ns(), 105u);
  timer->cancel();
  clock.advance(100);
  EXPECT_EQ(ticks, 10);
}

TEST(FakeClock, DestroyingATimerCancelsIt) {
  FakeClock clock;
  bool fired = false;
  auto timer = clock.create_timer([&] { fired = true; });
  timer->arm(1);
  timer.reset();
  clock.advance(2);
  EXPECT_FALSE(fired);
}

}  // namespace
}  // namespace emu
