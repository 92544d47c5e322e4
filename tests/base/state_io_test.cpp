// SPDX-License-Identifier: Apache-2.0
#include "base/state_io.h"

#include <gtest/gtest.h>

namespace emu {
namespace {

struct Chip {
  u32 a = 1;
  bool b = false;
  std::array<u8, 3> c{1, 2, 3};
  void transfer(StateIo& io) {
    io.section("chip", 1, [&] {
      io.field(1, "a", a);
      io.field(2, "b", b);
      io.field(3, "c", c);
    });
  }
};

TEST(StateIo, RoundTripKeepsEveryField) {
  Chip chip{7, true, {9, 8, 7}};
  StateIo out = StateIo::saver();
  chip.transfer(out);
  Chip other;
  StateIo in = StateIo::loader(out.bytes());
  other.transfer(in);
  ASSERT_TRUE(in.finish());
  EXPECT_EQ(other.a, 7u);
  EXPECT_TRUE(other.b);
  EXPECT_EQ(other.c, chip.c);
}

TEST(StateIo, EveryTruncationIsAnErrorOrKeepsTheOldState) {
  Chip chip{7, true, {9, 8, 7}};
  StateIo out = StateIo::saver();
  chip.transfer(out);
  for (std::size_t n = 1; n < out.bytes().size(); ++n) {
    Chip other;
    StateIo in = StateIo::loader(std::span(out.bytes()).first(n));
    other.transfer(in);
    EXPECT_FALSE(in.finish()) << n;
  }
}

}  // namespace
}  // namespace emu
