// SPDX-License-Identifier: Apache-2.0
#include "tcg/user/user_processors.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <memory>
#include <thread>
#include <vector>

namespace emu {
namespace {

cpu_set_t allowed_now() {
  cpu_set_t set;
  EXPECT_EQ(::sched_getaffinity(0, sizeof set, &set), 0);
  return set;
}

unsigned taken_of(const UserProcessors& all) {
  unsigned sum = 0;
  for (unsigned i = 0; i < CPU_SETSIZE; ++i) sum += all.taken(i);
  return sum;
}

// The second is moved if it starts where the first is, and may go anywhere again afterwards.
TEST(UserProcessors, TwoThreadsGetTwoProcessors) {
  const cpu_set_t before = allowed_now();
  if (CPU_COUNT(&before) < 2) GTEST_SKIP() << "one processor";
  UserProcessors all;
  const UserProcessors::Seat first(all);
  std::thread other([&] {
    for (int i = 0; i < 50; ++i) {
      const UserProcessors::Seat second(all);
      for (unsigned cpu = 0; cpu < CPU_SETSIZE; ++cpu) EXPECT_LE(all.taken(cpu), 1u);
      EXPECT_EQ(taken_of(all), 2u);
      const cpu_set_t after = allowed_now();
      EXPECT_TRUE(CPU_EQUAL(&before, &after));
    }
  });
  other.join();
  EXPECT_EQ(taken_of(all), 1u);
}

TEST(UserProcessors, MoreThreadsThanProcessorsShare) {
  const cpu_set_t before = allowed_now();
  UserProcessors all;
  {
    std::vector<std::unique_ptr<UserProcessors::Seat>> seats;
    const auto most = static_cast<unsigned>(CPU_COUNT(&before)) + 2;
    for (unsigned i = 0; i < most; ++i)
      seats.push_back(std::make_unique<UserProcessors::Seat>(all));
    EXPECT_EQ(taken_of(all), most);
  }
  EXPECT_EQ(taken_of(all), 0u);
  const cpu_set_t after = allowed_now();
  EXPECT_TRUE(CPU_EQUAL(&before, &after));
}

}  // namespace
}  // namespace emu
