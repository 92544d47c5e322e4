// SPDX-License-Identifier: Apache-2.0
#include "devices/input/scancodes.h"

#include <gtest/gtest.h>

#include <set>

namespace emu {
namespace {

// The set 1 codes that everyone knows, through both tables.
TEST(Scancodes, KnownSet1Codes) {
  const auto set1 = [](KeyCode key) { return int{translate_set2_to_set1(scan_codes(key).set2)}; };
  EXPECT_EQ(set1(0x29), 0x01) << "Escape";
  EXPECT_EQ(set1(0x1e), 0x02) << "1";
  EXPECT_EQ(set1(0x28), 0x1c) << "Enter";
  EXPECT_EQ(set1(0x04), 0x1e) << "a";
  EXPECT_EQ(set1(0x2c), 0x39) << "Space";
  EXPECT_EQ(set1(0x3a), 0x3b) << "F1";
  EXPECT_EQ(set1(0x40), 0x41) << "F7";
  EXPECT_EQ(set1(0x45), 0x58) << "F12";
  EXPECT_EQ(set1(0x52), 0x48) << "up";
  EXPECT_EQ(set1(0x63), 0x53) << "keypad dot";
  EXPECT_EQ(set1(0xe4), 0x1d) << "right control";
}

TEST(Scancodes, NoTwoKeysShareACode) {
  std::set<int> set2;
  std::set<int> set3;
  for (KeyCode key = 0; key < 256; ++key) {
    const KeyScanCodes codes = scan_codes(key);
    // No board has both 31h and 32h; Pause has a sequence of its own.
    if (codes.set2 == 0 || key == 0x32 || key == kKeyPause) continue;
    EXPECT_TRUE(set2.insert(codes.set2 | (codes.extended ? 0x100 : 0)).second) << key;
    if (codes.set3 == 0) continue;
    EXPECT_TRUE(set3.insert(codes.set3).second) << key;
  }
  EXPECT_GE(set3.size(), 104u - 3);
}

TEST(Scancodes, UnknownKeysHaveNone) {
  EXPECT_EQ(scan_codes(0x00).set2, 0);
  EXPECT_EQ(scan_codes(0x1234).set2, 0);
}

}  // namespace
}  // namespace emu
