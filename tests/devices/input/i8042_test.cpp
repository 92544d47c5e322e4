// SPDX-License-Identifier: Apache-2.0
// The controller with its keyboard and mouse, as a driver sees them.
#include "devices/input/i8042.h"

#include "devices/input/ps2_keyboard.h"
#include "devices/input/ps2_mouse.h"
#include "devices/recording_irq.h"
#include "devices/transfer_test.h"

namespace emu {
namespace {

using Bytes = std::vector<unsigned>;

constexpr KeyCode kKeyA = 0x04;
constexpr KeyCode kKeyUp = 0x52;
constexpr KeyCode kKeyShift = 0xe1;

struct Ps2Rig : DeviceRig {
  Ps2Keyboard keyboard{clock};
  Ps2Mouse mouse;
  I8042 controller{{IrqLine(), IrqLine(), IrqLine(), [] {}}, clock, keyboard, mouse};
  Device& device() override { return controller; }
  std::vector<RigWindow> windows() override {
    return {{&controller.data_port(), 1}, {&controller.command_port(), 1}};
  }
  void poke(u64 random) override {
    const u64 key = random % 2 == 0 ? random >> 8 & 0xff : kKeyA + random % 20;
    keyboard.key(static_cast<KeyCode>(key), (random & 0x10) != 0);
    mouse.move(static_cast<i8>(random >> 16), static_cast<i8>(random >> 24), random >> 32 & 1);
    mouse.button(static_cast<MouseButton>(random >> 40 & 3), (random & 0x20) != 0);
    if (random >> 50 & 1) clock.advance(300'000'000);
  }
};
struct Ps2KeyboardRig final : Ps2Rig {
  Device& device() override { return keyboard; }
};
struct Ps2MouseRig final : Ps2Rig {
  Device& device() override { return mouse; }
};
INSTANTIATE_TEST_SUITE_P(Ps2, TransferTest,
                         testing::Values(device_under_test<Ps2Rig>("i8042"),
                                         device_under_test<Ps2KeyboardRig>("ps2_keyboard"),
                                         device_under_test<Ps2MouseRig>("ps2_mouse")),
                         device_under_test_name);

struct Ps2 : testing::Test {
  FakeClock clock;
  RecordingIrq irq;  // 1: keyboard, 12: mouse, 20: A20
  unsigned resets = 0;
  Ps2Keyboard keyboard{clock};
  Ps2Mouse mouse;
  I8042 controller{
      {irq.line(1), irq.line(12), irq.line(20), [this] { ++resets; }}, clock, keyboard, mouse};

  void command(u8 byte) { controller.command_port().write(0, 1, byte); }
  void data(u8 byte) { controller.data_port().write(0, 1, byte); }
  unsigned status() { return static_cast<unsigned>(controller.command_port().read(0, 1)); }
  unsigned read() { return static_cast<unsigned>(controller.data_port().read(0, 1)); }
  // Everything that comes, patiently.
  Bytes read_all() {
    Bytes bytes;
    for (clock.advance(300'000); (status() & 1) != 0; clock.advance(300'000)) {
      bytes.push_back(read());
    }
    return bytes;
  }
  unsigned reply_to(u8 byte) {
    command(byte);
    return read();
  }
  void set_command_byte(u8 value) {
    command(0x60);
    data(value);
  }
  Bytes to_keyboard(std::initializer_list<u8> bytes) {
    Bytes all;
    for (const u8 byte : bytes) {
      data(byte);
      for (const unsigned reply : read_all()) all.push_back(reply);
    }
    return all;
  }
  Bytes to_mouse(std::initializer_list<u8> bytes) {
    Bytes all;
    for (const u8 byte : bytes) {
      command(0xd4);
      data(byte);
      for (const unsigned reply : read_all()) all.push_back(reply);
    }
    return all;
  }
  Bytes type(KeyCode key) {
    keyboard.key(key, true);
    keyboard.key(key, false);
    return read_all();
  }
};

// --- Controller ---

TEST_F(Ps2, SelfTestsAndCommandByte) {
  EXPECT_EQ(reply_to(0xaa), 0x55u);
  EXPECT_EQ(reply_to(0xab), 0x00u);
  EXPECT_EQ(reply_to(0xa9), 0x00u);
  EXPECT_EQ(reply_to(0xa4), 0xf1u);
  set_command_byte(0x47);
  EXPECT_EQ(reply_to(0x20), 0x47u);
  command(0xa7);
  command(0xad);
  EXPECT_EQ(reply_to(0x20), 0x77u);
  command(0xa8);
  command(0xae);
  EXPECT_EQ(reply_to(0x20), 0x47u);
  command(0x65);
  data(0x99);
  EXPECT_EQ(reply_to(0x25), 0x99u);
  EXPECT_EQ(status() & 0x0d, 0x0cu) << "system flag, last write was a command, nothing to read";
}

TEST_F(Ps2, A20AndReset) {
  command(0xdd);
  EXPECT_FALSE(irq.level(20));
  EXPECT_EQ(reply_to(0xd0) & 2, 0u);
  command(0xdf);
  EXPECT_TRUE(irq.level(20));
  command(0xd1);
  data(0xdd);
  EXPECT_FALSE(irq.level(20));
  command(0xff);
  EXPECT_EQ(resets, 0u);
  command(0xfe);
  EXPECT_EQ(resets, 1u);
}

TEST_F(Ps2, LoopsBytesBackToTestTheInterrupts) {
  set_command_byte(0x47);
  command(0xd3);
  data(0x5a);
  EXPECT_EQ(status() & 0x21, 0x21u);
  EXPECT_TRUE(irq.level(12));
  EXPECT_EQ(read(), 0x5au) << "never translated";
  EXPECT_FALSE(irq.level(12));
  command(0xd2);
  data(0x1c);
  EXPECT_EQ(status() & 0x21, 0x01u);
  EXPECT_TRUE(irq.level(1));
  EXPECT_EQ(read(), 0x1cu);
}

// --- Keyboard ---

TEST_F(Ps2, TranslatedKeysMakeOneInterruptPerByte) {
  keyboard.key(kKeyUp, true);
  EXPECT_TRUE(irq.level(1));
  EXPECT_EQ(read(), 0xe0u);
  EXPECT_EQ(read(), 0xe0u) << "the byte stays until the cable has brought the next one";
  EXPECT_FALSE(irq.level(1));
  clock.advance(300'000);
  EXPECT_TRUE(irq.level(1));
  EXPECT_EQ(read(), 0x48u);
  keyboard.key(kKeyUp, false);
  EXPECT_EQ(read_all(), (Bytes{0xe0, 0xc8}));
  EXPECT_EQ(irq.take_rises(1), 4u);
}

TEST_F(Ps2, UntranslatedSets) {
  set_command_byte(0x05);
  EXPECT_EQ(type(kKeyA), (Bytes{0x1c, 0xf0, 0x1c}));
  EXPECT_EQ(type(kKeyUp), (Bytes{0xe0, 0x75, 0xe0, 0xf0, 0x75}));
  EXPECT_EQ(to_keyboard({0xf0, 0x01}), (Bytes{0xfa, 0xfa}));
  EXPECT_EQ(type(kKeyA), (Bytes{0x1e, 0x9e}));
  EXPECT_EQ(type(kKeyUp), (Bytes{0xe0, 0x48, 0xe0, 0xc8}));
  EXPECT_EQ(to_keyboard({0xf0, 0x03}), (Bytes{0xfa, 0xfa}));
  EXPECT_EQ(type(kKeyUp), (Bytes{0x63, 0xf0, 0x63}));
  EXPECT_EQ(to_keyboard({0xfd, 0x63, 0xf4}), (Bytes{0xfa, 0xfa, 0xfa}));
  EXPECT_EQ(type(kKeyUp), (Bytes{0x63})) << "make only";
  EXPECT_EQ(to_keyboard({0xf0, 0x00}), (Bytes{0xfa, 0xfa, 0x03}));
}

TEST_F(Ps2, KeysWithHistory) {
  set_command_byte(0x05);
  EXPECT_EQ(type(0x46), (Bytes{0xe0, 0x12, 0xe0, 0x7c, 0xe0, 0xf0, 0x7c, 0xe0, 0xf0, 0x12}));
  EXPECT_EQ(type(0x48), (Bytes{0xe1, 0x14, 0x77, 0xe1, 0xf0, 0x14, 0xf0, 0x77}));
  keyboard.key(0xe2, true);
  static_cast<void>(read_all());
  EXPECT_EQ(type(0x46), (Bytes{0x84, 0xf0, 0x84})) << "SysRq";
}

TEST_F(Ps2, TranslatedPauseIsTheSet1One) {
  EXPECT_EQ(type(0x48), (Bytes{0xe1, 0x1d, 0x45, 0xe1, 0x9d, 0xc5}));
}

TEST_F(Ps2, KeyboardCommands) {
  set_command_byte(0x05);
  EXPECT_EQ(to_keyboard({0xff}), (Bytes{0xfa, 0xaa}));
  EXPECT_EQ(to_keyboard({0xf2}), (Bytes{0xfa, 0xab, 0x83}));
  EXPECT_EQ(to_keyboard({0xee}), (Bytes{0xee}));
  EXPECT_EQ(to_keyboard({0xed, 0x06}), (Bytes{0xfa, 0xfa}));
  EXPECT_EQ(keyboard.leds(), 6);
  EXPECT_EQ(to_keyboard({0xfe}), (Bytes{0xfa})) << "resends the last byte";
  EXPECT_EQ(to_keyboard({0x17}), (Bytes{0xfe}));
  EXPECT_EQ(to_keyboard({0xed, 0xf4}), (Bytes{0xfa, 0xfa})) << "a command instead of an argument";
  EXPECT_EQ(to_keyboard({0xf5}), (Bytes{0xfa}));
  EXPECT_EQ(type(kKeyA), Bytes{});
  EXPECT_EQ(to_keyboard({0xf4}), (Bytes{0xfa}));
  EXPECT_EQ(type(kKeyA).size(), 3u);
}

TEST_F(Ps2, HeldKeysRepeat) {
  EXPECT_EQ(to_keyboard({0xf3, 0x00}), (Bytes{0xfa, 0xfa}));  // 250 ms, 33.36 ms
  keyboard.key(kKeyA, true);
  keyboard.key(kKeyA, true);
  EXPECT_EQ(read_all(), (Bytes{0x1e})) << "the host's own repeats do not count";
  clock.advance(248'000'000);
  EXPECT_EQ(read_all(), Bytes{});
  clock.advance(3'000'000);
  EXPECT_EQ(read_all(), (Bytes{0x1e}));
  clock.advance(34'000'000);
  EXPECT_EQ(read_all(), (Bytes{0x1e}));
  keyboard.key(kKeyShift, true);
  clock.advance(kNsPerSecond);
  EXPECT_EQ(read_all().front(), 0x2au) << "only the last key repeats";
  keyboard.key(kKeyShift, false);
  keyboard.key(kKeyA, false);
  static_cast<void>(read_all());
  clock.advance(kNsPerSecond);
  EXPECT_EQ(read_all(), Bytes{});
}

TEST_F(Ps2, FullKeyboardBufferReportsAnOverrun) {
  set_command_byte(0x15);
  for (int i = 0; i < 200; ++i) {
    keyboard.key(kKeyA, true);
    keyboard.key(kKeyA, false);
  }
  set_command_byte(0x05);
  const Bytes bytes = read_all();
  EXPECT_LE(bytes.size(), 256u);
  EXPECT_EQ(bytes.front(), 0x1cu);
}

TEST_F(Ps2, ClosedPortHoldsKeysBack) {
  command(0xad);
  keyboard.key(kKeyA, true);
  EXPECT_EQ(status() & 1, 0u);
  command(0xae);
  EXPECT_EQ(status() & 1, 1u);
  EXPECT_EQ(read(), 0x1eu);
}

// --- Mouse ---

TEST_F(Ps2, MouseResetAndIdentity) {
  EXPECT_EQ(to_mouse({0xff}), (Bytes{0xfa, 0xaa, 0x00}));
  EXPECT_EQ(to_mouse({0xf2}), (Bytes{0xfa, 0x00}));
  EXPECT_EQ(to_mouse({0xe9}), (Bytes{0xfa, 0x00, 0x02, 0x64}));
  EXPECT_EQ(to_mouse({0xf3, 200, 0xf3, 100, 0xf3, 80, 0xf2}),
            (Bytes{0xfa, 0xfa, 0xfa, 0xfa, 0xfa, 0xfa, 0xfa, 0x03}));
  EXPECT_EQ(to_mouse({0xf3, 200, 0xf3, 200, 0xf3, 80, 0xf2}).back(), 0x04u);
}

TEST_F(Ps2, MouseStreamsMovementAndButtons) {
  set_command_byte(0x47);
  mouse.move(5, 5, 0);
  EXPECT_EQ(to_mouse({0xf4}), (Bytes{0xfa})) << "movement before it was enabled is lost";
  static_cast<void>(irq.take_rises(12));
  mouse.move(3, 4, 0);
  EXPECT_EQ(read_all(), (Bytes{0x28, 0x03, 0xfc}));
  EXPECT_EQ(irq.take_rises(12), 3u);
  mouse.button(MouseButton::kLeft, true);
  mouse.button(MouseButton::kLeft, false);
  mouse.button(MouseButton::kRight, true);
  EXPECT_EQ(read_all(), (Bytes{0x09, 0, 0, 0x08, 0, 0, 0x0a, 0, 0}));
}

TEST_F(Ps2, MouseMergesWhatTheHostDoesNotRead) {
  static_cast<void>(to_mouse({0xf4}));
  for (int i = 0; i < 400; ++i) mouse.move(1, 0, 0);
  EXPECT_EQ(read_all(), (Bytes{0x08, 1, 0, 0x08, 255, 0, 0x08, 144, 0}));
}

TEST_F(Ps2, WheelAndExplorerPackets) {
  static_cast<void>(to_mouse({0xf3, 200, 0xf3, 100, 0xf3, 80, 0xf4}));
  mouse.move(0, 0, 1);
  EXPECT_EQ(read_all(), (Bytes{0x08, 0, 0, 0xff}));
  static_cast<void>(to_mouse({0xf3, 200, 0xf3, 200, 0xf3, 80}));
  mouse.move(0, 0, -1);
  EXPECT_EQ(read_all(), (Bytes{0x08, 0, 0, 0x01}));
  mouse.button(MouseButton::kSide, true);
  EXPECT_EQ(read_all(), (Bytes{0x08, 0, 0, 0x10}));
  mouse.button(MouseButton::kExtra, true);
  EXPECT_EQ(read_all(), (Bytes{0x08, 0, 0, 0x30}));
}

TEST_F(Ps2, RemoteModeWrapAndScaling) {
  EXPECT_EQ(to_mouse({0xf0}), (Bytes{0xfa}));
  mouse.move(-2, 0, 0);
  EXPECT_EQ(read_all(), Bytes{});
  EXPECT_EQ(to_mouse({0xeb}), (Bytes{0xfa, 0x18, 0xfe, 0}));
  EXPECT_EQ(to_mouse({0xee, 0xf2, 0x33, 0xec}), (Bytes{0xfa, 0xf2, 0x33, 0xfa}));
  static_cast<void>(to_mouse({0xea, 0xe7, 0xf4}));
  mouse.move(5, 0, 0);
  EXPECT_EQ(read_all(), (Bytes{0x08, 9, 0}));
  EXPECT_EQ(to_mouse({0xe9}), (Bytes{0xfa, 0x30, 0x02, 0x64}));
}

}  // namespace
}  // namespace emu
