// SPDX-License-Identifier: Apache-2.0
// USB requests and reports of the tablet, the mouse and the keyboard.
#include "devices/usb/usb_hid.h"

#include <gtest/gtest.h>

#include "devices/transfer_test.h"
#include "devices/usb/usb_requests.h"

namespace emu {
namespace {

using Bytes = std::vector<u8>;

TEST(UsbHid, EnumeratesAsAHostDoesIt) {
  UsbTablet tablet("tablet");
  tablet.reset();
  const Bytes device = control_in(tablet, {0x80, 6, 0, 1, 0, 0, 64, 0});
  ASSERT_EQ(device.size(), 18u);
  EXPECT_EQ(device[7], 64) << "packet size of endpoint 0";
  EXPECT_TRUE(control_out(tablet, {0, 5, 9, 0, 0, 0, 0, 0}));
  EXPECT_EQ(tablet.find(9), &tablet);
  EXPECT_EQ(tablet.find(0), nullptr);
  const Bytes head = control_in(tablet, {0x80, 6, 0, 2, 0, 0, 9, 0});
  ASSERT_EQ(head.size(), 9u) << "no more than was asked for";
  const Bytes all = control_in(tablet, {0x80, 6, 0, 2, 0, 0, 255, 0});
  EXPECT_EQ(all.size(), head[2]) << "wTotalLength";
  EXPECT_FALSE(tablet.is_listening());
  EXPECT_TRUE(control_out(tablet, {0, 9, 1, 0, 0, 0, 0, 0}));
  EXPECT_TRUE(tablet.is_listening());
  const Bytes report = control_in(tablet, {0x81, 6, 0, 0x22, 0, 0, 255, 0});
  EXPECT_EQ(report.size(), all[25]) << "wDescriptorLength of the HID descriptor";
  EXPECT_EQ(control_in(tablet, {0x80, 6, 2, 3, 9, 4, 255, 0}).size(), 2 + 2 * 10u) << "string";
  EXPECT_TRUE(control_in(tablet, {0x80, 6, 9, 3, 9, 4, 255, 0}).empty()) << "no such string";
  EXPECT_FALSE(control_out(tablet, {0, 9, 7, 0, 0, 0, 0, 0})) << "no such configuration";
}

TEST(UsbHid, ABusResetUnconfigures) {
  UsbTablet tablet("tablet");
  configure(tablet, 3);
  tablet.bus_reset();
  EXPECT_FALSE(tablet.is_listening());
  EXPECT_NE(tablet.find(0), nullptr);
}

TEST(UsbHid, AHaltedEndpointStallsUntilItIsCleared) {
  UsbTablet tablet("tablet");
  configure(tablet);
  EXPECT_TRUE(control_out(tablet, {2, 3, 0, 0, 0x81, 0, 0, 0}));
  std::array<u8, 8> packet{};
  EXPECT_EQ(tablet.transact(usb::Token::kIn, 1, packet).status, UsbStatus::kStall);
  EXPECT_EQ(control_in(tablet, {0x82, 0, 0, 0, 0x81, 0, 2, 0}), (Bytes{1, 0}));
  EXPECT_TRUE(control_out(tablet, {2, 1, 0, 0, 0x81, 0, 0, 0}));
  EXPECT_EQ(tablet.transact(usb::Token::kIn, 1, packet).status, UsbStatus::kNak);
}

TEST(UsbTablet, ReportsPositionsAndEveryClick) {
  UsbTablet tablet("tablet");
  configure(tablet);
  EXPECT_TRUE(poll(tablet).empty());
  tablet.point(1, 2, 0);
  tablet.point(0x7fff, 0x1234, 0);  // only the last position counts
  tablet.button(MouseButton::kLeft, true);
  tablet.button(MouseButton::kLeft, false);
  tablet.point(0x7fff, 0x1234, -1);
  EXPECT_EQ(poll(tablet), (Bytes{0, 0xff, 0x7f, 0x34, 0x12, 0}));
  EXPECT_EQ(poll(tablet), (Bytes{1, 0xff, 0x7f, 0x34, 0x12, 0}));
  EXPECT_EQ(poll(tablet), (Bytes{0, 0xff, 0x7f, 0x34, 0x12, 0xff}));
  EXPECT_TRUE(poll(tablet).empty());
}

TEST(UsbMouse, SplitsLongWays) {
  UsbMouse mouse("mouse");
  configure(mouse);
  mouse.move(200, -3, 0);
  mouse.button(MouseButton::kMiddle, true);
  EXPECT_EQ(poll(mouse), (Bytes{0, 127, 0xfd, 0}));
  EXPECT_EQ(poll(mouse), (Bytes{0, 73, 0, 0}));
  EXPECT_EQ(poll(mouse), (Bytes{4, 0, 0, 0}));
  EXPECT_TRUE(poll(mouse).empty());
}

TEST(UsbKeyboard, ReportsModifiersAndSixKeys) {
  UsbKeyboard keyboard("keyboard");
  configure(keyboard);
  keyboard.key(0xe1, true);
  keyboard.key(0x04, true);
  keyboard.key(0xe1, false);
  EXPECT_EQ(poll(keyboard), (Bytes{2, 0, 0, 0, 0, 0, 0, 0}));
  EXPECT_EQ(poll(keyboard), (Bytes{2, 0, 4, 0, 0, 0, 0, 0}));
  EXPECT_EQ(poll(keyboard), (Bytes{0, 0, 4, 0, 0, 0, 0, 0}));
  for (KeyCode code = 5; code < 11; ++code) keyboard.key(code, true);
  for (int i = 0; i < 5; ++i) poll(keyboard);
  EXPECT_EQ(poll(keyboard), (Bytes{0, 0, 1, 1, 1, 1, 1, 1})) << "seven keys: roll-over";
}

// Every key that HID names gets in and out.
TEST(UsbKeyboard, EveryKeyGoesThrough) {
  UsbKeyboard keyboard("keyboard");
  configure(keyboard);
  for (KeyCode code = 4; code < 0xe0; ++code) {
    keyboard.key(code, true);
    EXPECT_EQ(poll(keyboard)[2], code);
    keyboard.key(code, false);
    EXPECT_EQ(poll(keyboard)[2], 0);
  }
}

// Random requests and packets.
void poke_device(UsbDevice& device, u64 random) {
  std::array<u8, 8> packet{};
  for (unsigned i = 0; i < 8; ++i) packet[i] = static_cast<u8>(random >> (8 * i));
  packet[0] &= 0xa1;
  packet[1] &= 15;
  device.transact(usb::Token::kSetup, 0, packet);
  device.transact(random % 2 != 0 ? usb::Token::kOut : usb::Token::kIn, random >> 5 & 1, packet);
  if (random % 3 == 0) configure(device);
}

template <class Hid>
struct HidRig : DeviceRig {
  Hid hid{"hid"};
  Device& device() override { return hid; }
};
struct TabletRig final : HidRig<UsbTablet> {
  void poke(u64 random) override {
    poke_device(hid, random);
    hid.point(static_cast<u16>(random), static_cast<u16>(random >> 16), random % 3 == 0);
    hid.button(MouseButton::kRight, random % 2 == 0);
  }
};
struct MouseRig final : HidRig<UsbMouse> {
  void poke(u64 random) override {
    poke_device(hid, random);
    hid.move(static_cast<i32>(random), static_cast<i32>(random >> 32), 1);
    hid.button(MouseButton::kRight, random % 2 == 0);
  }
};
struct KeyboardRig final : HidRig<UsbKeyboard> {
  void poke(u64 random) override {
    poke_device(hid, random);
    hid.key(static_cast<KeyCode>(random & 0x1ff), random % 2 == 0);
  }
};
INSTANTIATE_TEST_SUITE_P(UsbHid, TransferTest,
                         testing::Values(device_under_test<TabletRig>("usb_tablet"),
                                         device_under_test<MouseRig>("usb_mouse"),
                                         device_under_test<KeyboardRig>("usb_keyboard")),
                         device_under_test_name);

}  // namespace
}  // namespace emu
