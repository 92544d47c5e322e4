// SPDX-License-Identifier: Apache-2.0
// Results, checks, and what gives back descriptors, mappings and scopes.
#include <fcntl.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <optional>

#include "base/log.h"
#include "base/mapping.h"
#include "base/result.h"
#include "base/scope_exit.h"
#include "base/unique_fd.h"

namespace emu {
namespace {

Result<int> half(int n) {
  if (n % 2 != 0) return fail("{} is odd", n);
  return n / 2;
}

Result<void> twice(int n) {
  EMU_TRY(half(n));
  EMU_TRY(half(n / 2));
  return {};
}

TEST(Result, CarriesAValueOrAnError) {
  EXPECT_EQ(*half(8), 4);
  ASSERT_FALSE(half(7));
  EXPECT_EQ(half(7).error().message, "7 is odd");
  EXPECT_TRUE(twice(8));
  EXPECT_EQ(twice(6).error().message, "3 is odd");
}

TEST(Result, ErrnoAddsTheSystemsWords) {
  const Error error = fail_errno(ENOENT, "cannot open {}", "disk.img");
  EXPECT_EQ(error.code, ENOENT);
  EXPECT_EQ(error.message, "cannot open disk.img: No such file or directory");
}

TEST(ResultDeathTest, UsingTheWrongSideIsOurMistake) {
  EXPECT_DEATH((void)*half(7), "check failed");
  EXPECT_DEATH((void)half(8).error(), "check failed");
}

TEST(UniqueFd, ClosesWhatItOwnsOnce) {
  UniqueFd fd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  ASSERT_TRUE(fd);
  const int raw = fd.get();
  UniqueFd other = std::move(fd);
  EXPECT_EQ(other.get(), raw);
  other.reset();
  EXPECT_EQ(::fcntl(raw, F_GETFD), -1);
  EXPECT_EQ(errno, EBADF);
}

TEST(Mapping, IsZeroedAndRoundedToPages) {
  auto mapping = Mapping::anonymous(kPageBytes + 1);
  ASSERT_TRUE(mapping);
  EXPECT_EQ(mapping->size_bytes(), 2 * kPageBytes);
  EXPECT_EQ(mapping->span()[kPageBytes], 0);
  Mapping moved = std::move(*mapping);
  EXPECT_EQ(mapping->data(), nullptr);
  moved.reset();
  EXPECT_EQ(moved.size_bytes(), 0u);
}

TEST(Mapping, ReportsTheHostsRefusal) {
  const auto mapping = Mapping::anonymous(u64{1} << 60);
  ASSERT_FALSE(mapping);
  EXPECT_EQ(mapping.error().code, ENOMEM);
}

TEST(ScopeExit, RunsUnlessDismissed) {
  int runs = 0;
  {
    const ScopeExit once([&] { ++runs; });
    ScopeExit never([&] { ++runs; });
    never.dismiss();
  }
  EXPECT_EQ(runs, 1);
}

TEST(RateLimit, LetsTheFirstEventsPass) {
  RateLimit limit(2);
  EXPECT_TRUE(limit.pass());
  EXPECT_TRUE(limit.pass());
  EXPECT_FALSE(limit.pass());
  EXPECT_FALSE(limit.pass());
}

}  // namespace
}  // namespace emu
