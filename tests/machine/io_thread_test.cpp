// SPDX-License-Identifier: Apache-2.0
// The VM clock and the I/O thread: pausing, order, cancelling. No test measures durations.
#include "machine/io_thread.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <vector>

namespace emu {
namespace {

TEST(VmClock, StandsStillWhilePaused) {
  VmClock clock([] {});
  EXPECT_EQ(clock.now_ns(), 0u);
  clock.set_now_ns(5000);
  EXPECT_EQ(clock.now_ns(), 5000u);
  clock.run();
  EXPECT_GE(clock.now_ns(), 5000u);
  clock.pause();
  const u64 then = clock.now_ns();
  EXPECT_EQ(clock.now_ns(), then);
}

TEST(VmClock, FiresInOrderOfDeadline) {
  VmClock clock([] {});
  std::vector<int> order;
  auto late = clock.create_timer([&] { order.push_back(2); });
  auto early = clock.create_timer([&] { order.push_back(1); });
  auto never = clock.create_timer([&] { order.push_back(3); });
  late->arm(20);
  early->arm(10);
  never->arm(15);
  never->cancel();
  clock.fire_due();
  EXPECT_TRUE(order.empty()) << "time does not run yet";
  clock.set_now_ns(100);
  clock.run();
  EXPECT_EQ(clock.next_wait_ns(), 0u);
  clock.fire_due();
  EXPECT_EQ(order, (std::vector<int>{1, 2}));
  EXPECT_EQ(late->deadline_ns(), kNever);
}

TEST(IoThread, ServesTimersAndPostedWorkUnderTheLock) {
  std::mutex lock;
  IoThread io(lock);
  std::condition_variable changed;
  int fired = 0;
  int posted = 0;
  auto timer = io.clock().create_timer([&] {
    ++fired;
    changed.notify_all();
  });
  io.start();
  {
    std::unique_lock guard(lock);
    io.clock().run();
    timer->arm(io.clock().now_ns() + 1000);
    changed.wait(guard, [&] { return fired == 1; });
    timer->arm(0);  // in the past: at once
    changed.wait(guard, [&] { return fired == 2; });
  }
  for (int i = 0; i < 100; ++i) io.post([&] { ++posted; });
  io.stop();
  EXPECT_EQ(posted, 100) << "what was posted before the end still runs";
  const std::lock_guard guard(lock);
  timer.reset();
}

}  // namespace
}  // namespace emu
