// SPDX-License-Identifier: Apache-2.0
// Every key in, its scan codes out: what a driver reads from the 8042 in each scan code set is
// turned back into a key by tables of the other side, and must be the key that was pressed.
// Source of the tables here: linux/input-event-codes.h, whose codes 1 to 88 are the XT's scan
// codes; "Keyboard Scan Code Specification" (Microsoft, 2000), appendices A and C, for the rest.
#include <gtest/gtest.h>
#include <linux/input-event-codes.h>

#include <map>

#include "base/vm_time.h"
#include "devices/input/i8042.h"
#include "devices/input/linux_keys.h"
#include "devices/input/ps2_keyboard.h"
#include "devices/input/ps2_mouse.h"
#include "devices/input/scancodes.h"
#include "devices/recording_irq.h"

namespace emu {
namespace {

using Bytes = std::vector<unsigned>;

// Set 1: the codes behind E0, and those of international boards.
const std::map<unsigned, unsigned> kExtended{
    {0x1c, KEY_KPENTER},  {0x1d, KEY_RIGHTCTRL}, {0x20, KEY_MUTE},      {0x2e, KEY_VOLUMEDOWN},
    {0x30, KEY_VOLUMEUP}, {0x35, KEY_KPSLASH},   {0x38, KEY_RIGHTALT},  {0x47, KEY_HOME},
    {0x48, KEY_UP},       {0x49, KEY_PAGEUP},    {0x4b, KEY_LEFT},      {0x4d, KEY_RIGHT},
    {0x4f, KEY_END},      {0x50, KEY_DOWN},      {0x51, KEY_PAGEDOWN},  {0x52, KEY_INSERT},
    {0x53, KEY_DELETE},   {0x5b, KEY_LEFTMETA},  {0x5c, KEY_RIGHTMETA}, {0x5d, KEY_COMPOSE},
    {0x5e, KEY_POWER}};
const std::map<unsigned, unsigned> kPlain{{0x59, KEY_KPEQUAL},  {0x64, KEY_F13},
                                          {0x65, KEY_F14},      {0x66, KEY_F15},
                                          {0x67, KEY_F16},      {0x68, KEY_F17},
                                          {0x69, KEY_F18},      {0x6a, KEY_F19},
                                          {0x6b, KEY_F20},      {0x6c, KEY_F21},
                                          {0x6d, KEY_F22},      {0x6e, KEY_F23},
                                          {0x76, KEY_F24},      {0x70, KEY_KATAKANAHIRAGANA},
                                          {0x73, KEY_RO},       {0x79, KEY_HENKAN},
                                          {0x7b, KEY_MUHENKAN}, {0x7d, KEY_YEN},
                                          {0x7e, KEY_KPCOMMA}};

struct EveryKey : testing::Test {
  FakeClock clock;
  RecordingIrq irq;
  Ps2Keyboard keyboard{clock};
  Ps2Mouse mouse;
  I8042 controller{{irq.line(1), irq.line(12), irq.line(20), [] {}}, clock, keyboard, mouse};

  Bytes read_all() {
    Bytes bytes;
    for (clock.advance(300'000); (controller.command_port().read(0, 1) & 1) != 0;
         clock.advance(300'000)) {
      bytes.push_back(static_cast<unsigned>(controller.data_port().read(0, 1)));
    }
    return bytes;
  }
  // Translation to set 1 on or off, and the keyboard's own set.
  void select(bool translates, u8 set) {
    controller.command_port().write(0, 1, 0x60);
    controller.data_port().write(0, 1, translates ? 0x45 : 0x05);
    for (const u8 byte : {u8{0xf0}, set}) {
      controller.data_port().write(0, 1, byte);
      read_all();
    }
  }
  Bytes press(KeyCode key) {
    keyboard.key(key, true);
    return read_all();
  }
  Bytes release(KeyCode key) {
    keyboard.key(key, false);
    return read_all();
  }
};

// The Linux key that set 1 codes mean, or 0.
unsigned key_of_set1(const Bytes& make) {
  if (make.size() == 2 && make[0] == 0xe0) {
    const auto it = kExtended.find(make[1]);
    return it != kExtended.end() ? it->second : 0;
  }
  if (make.size() != 1) return 0;
  if (make[0] <= KEY_F12) return make[0];
  const auto it = kPlain.find(make[0]);
  return it != kPlain.end() ? it->second : 0;
}

bool has_own_sequence(KeyCode key) {
  return key == kKeyPrintScreen || key == kKeyPause;
}

TEST_F(EveryKey, InSet1ByTranslation) {
  select(true, 2);
  unsigned keys = 0;
  for (KeyCode key = 0; key < 256; ++key) {
    const unsigned wanted = linux_key(key);
    const Bytes make = press(key);
    Bytes broken = release(key);
    if (wanted == 0) {
      EXPECT_TRUE(make.empty()) << "usage " << key;
      continue;
    }
    ++keys;
    if (has_own_sequence(key)) continue;
    EXPECT_EQ(key_of_set1(make), wanted) << "usage " << key;
    ASSERT_EQ(broken.size(), make.size()) << "usage " << key;
    EXPECT_EQ(broken.back(), make.back() | 0x80) << "usage " << key;
    broken.back() = make.back();
    EXPECT_EQ(broken, make) << "usage " << key;
  }
  EXPECT_GE(keys, 104u + 12u);
  EXPECT_EQ(press(kKeyPrintScreen), (Bytes{0xe0, 0x2a, 0xe0, 0x37}));
  EXPECT_EQ(release(kKeyPrintScreen), (Bytes{0xe0, 0xb7, 0xe0, 0xaa}));
  EXPECT_EQ(press(kKeyPause), (Bytes{0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5}));
  EXPECT_EQ(release(kKeyPause), Bytes());
}

TEST_F(EveryKey, InSet2WithBreakPrefix) {
  select(false, 2);
  std::map<Bytes, KeyCode> seen;
  for (KeyCode key = 0; key < 256; ++key) {
    const Bytes make = press(key);
    const Bytes broken = release(key);
    if (linux_key(key) == 0 || has_own_sequence(key)) continue;
    Bytes expected = make;
    expected.insert(expected.end() - 1, 0xf0);
    EXPECT_EQ(broken, expected) << "usage " << key;
    const bool is_new = seen.emplace(make, key).second;
    EXPECT_TRUE(is_new || key == 0x32) << "usage " << key;  // 31h and 32h are one key
  }
  EXPECT_EQ(press(kKeyPause), (Bytes{0xe1, 0x14, 0x77, 0xe1, 0xf0, 0x14, 0xf0, 0x77}));
}

TEST_F(EveryKey, InSet3OneByteEach) {
  select(false, 3);
  std::map<unsigned, KeyCode> seen;
  for (KeyCode key = 0; key < 256; ++key) {
    const Bytes make = press(key);
    release(key);
    if (make.empty()) continue;
    ASSERT_EQ(make.size(), 1u) << "usage " << key;
    EXPECT_TRUE(seen.emplace(make[0], key).second) << "usage " << key;
  }
  EXPECT_GE(seen.size(), 104u);
  // "PS/2 Hardware Interface Technical Reference", set 3: a, left control, Enter, keypad Enter, F1.
  EXPECT_EQ(seen.at(0x1c), 0x04);
  EXPECT_EQ(seen.at(0x11), 0xe0);
  EXPECT_EQ(seen.at(0x5a), 0x28);
  EXPECT_EQ(seen.at(0x79), 0x58);
  EXPECT_EQ(seen.at(0x07), 0x3a);
}

}  // namespace
}  // namespace emu
