// SPDX-License-Identifier: Apache-2.0
// The state stream: round trips, versions, unknown fields, and input from an enemy.
#include "base/state_io.h"

#include <gtest/gtest.h>

#include <random>

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

// What a later version of Chip might save.
struct LaterChip {
  Chip chip{5, true, {1, 1, 1}};
  u16 extra = 7;
  u32 version = 1;
  void transfer(StateIo& io) {
    io.section("chip", version, [&] {
      io.field(1, "a", chip.a);
      io.field(9, "extra", extra);
      io.section("part", 1, [&] { io.field(1, "x", extra); });
    });
    io.section("other", 1, [&] { io.field(1, "y", extra); });
  }
};

TEST(StateIo, UnknownFieldsAreSkippedAndCountedMissingOnesKept) {
  LaterChip later;
  StateIo out = StateIo::saver();
  later.transfer(out);
  Chip chip;
  StateIo in = StateIo::loader(out.bytes());
  chip.transfer(in);
  ASSERT_TRUE(in.finish());
  EXPECT_EQ(in.skipped_fields(), 3u);
  EXPECT_EQ(chip.a, 5u);
  EXPECT_FALSE(chip.b);
}

TEST(StateIo, NewerVersionsAreRefusedWithAReason) {
  LaterChip later;
  later.version = 2;
  StateIo out = StateIo::saver();
  later.transfer(out);
  Chip chip;
  StateIo in = StateIo::loader(out.bytes());
  chip.transfer(in);
  const Result<void> result = in.finish();
  ASSERT_FALSE(result);
  EXPECT_NE(result.error().message.find("newer"), std::string::npos);
  EXPECT_EQ(chip.a, 1u);
}

TEST(StateIo, ABoolIsZeroOrOneAndTextHasALimit) {
  struct {
    u8 flag = 2;
    std::string text = "hello";
  } saved;
  StateIo out = StateIo::saver();
  out.section("s", 1, [&] {
    out.field(1, "flag", saved.flag);
    out.field(2, "text", saved.text, 100);
  });
  bool flag = false;
  StateIo in = StateIo::loader(out.bytes());
  in.section("s", 1, [&] { in.field(1, "flag", flag); });
  EXPECT_FALSE(in.finish());
  std::string text;
  StateIo again = StateIo::loader(out.bytes());
  again.section("s", 1, [&] { again.field(2, "text", text, 4); });
  EXPECT_FALSE(again.finish());
  EXPECT_EQ(text, "");
}

TEST(StateIo, PrintsWhatItWouldSave) {
  Chip chip{7, true, {9, 8, 7}};
  StateIo out = StateIo::printer();
  chip.transfer(out);
  EXPECT_EQ(out.text(), "chip.a = 0x7\nchip.b = 0x1\nchip.c = 090807\n");
}

TEST(StateIo, DamagedStreamsNeverReadOutside) {
  std::mt19937 random(1);
  LaterChip later;
  StateIo out = StateIo::saver();
  later.transfer(out);
  for (int i = 0; i < 20'000; ++i) {
    std::vector<u8> bytes = out.bytes();
    for (int n = 0; n < 3; ++n) bytes[random() % bytes.size()] = static_cast<u8>(random());
    bytes.resize(random() % (bytes.size() + 1));
    LaterChip loaded;
    StateIo in = StateIo::loader(bytes);
    loaded.transfer(in);
    (void)in.ok();
  }
}

}  // namespace
}  // namespace emu
