// SPDX-License-Identifier: Apache-2.0
// Virtio input devices as their driver sees them.
#include "devices/input/virtio_input.h"

#include <gtest/gtest.h>
#include <linux/input-event-codes.h>

#include "devices/transfer_test.h"
#include "devices/virtio/virtio_rig.h"

namespace emu {
namespace {

using Kind = VirtioInput::Kind;
constexpr u64 kBuffers = 0x100000;

struct InputRig : VirtioRig {
  VirtioInput* input = nullptr;
  explicit InputRig(Kind kind) {
    auto made = std::make_unique<VirtioInput>(memory_space, kind);
    input = made.get();
    plug(std::move(made), VirtioPci::Interface::kModern);
  }
  void start_with_buffers() {
    start(0, 16);
    for (u16 i = 0; i < 16; ++i) offer(0, {{kBuffers + i * 8u, 8, true}}, i);
    notify(0);
  }
  struct Event {
    u32 type, code, value;
    bool operator==(const Event&) const = default;
  };
  [[nodiscard]] std::vector<Event> events() {
    std::vector<Event> out;
    for (u16 i = 0; i < used_index(0); ++i) {
      const u64 at = kBuffers + used(0, i).id * u64{8};
      out.push_back({static_cast<u32>(memory_space.load(at, 2)),
                     static_cast<u32>(memory_space.load(at + 2, 2)),
                     static_cast<u32>(memory_space.load(at + 4, 4))});
    }
    return out;
  }
  // Selects a part of the configuration; its bytes.
  std::vector<u8> config(u8 select, u8 subselect) {
    memory_space.store(window(virtio::kCapDevice), 1, select);
    memory_space.store(window(virtio::kCapDevice) + 1, 1, subselect);
    std::vector<u8> bytes(device_config(2, 1));
    for (u32 i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<u8>(device_config(8 + i, 1));
    return bytes;
  }
  bool has(u8 type, u32 code) {
    const auto bits = config(0x11, type);
    return code / 8 < bits.size() && (bits[code / 8] >> (code % 8) & 1) != 0;
  }
};

using Events = std::vector<InputRig::Event>;
constexpr InputRig::Event kEnd{EV_SYN, SYN_REPORT, 0};

TEST(VirtioInput, KeyboardSaysWhatItHas) {
  InputRig rig(Kind::kKeyboard);
  const auto name = rig.config(1, 0);
  EXPECT_EQ(std::string(name.begin(), name.end()), "emu virtio keyboard");
  EXPECT_EQ(rig.config(3, 0).size(), 8u);
  EXPECT_TRUE(rig.has(EV_KEY, KEY_A));
  EXPECT_TRUE(rig.has(EV_KEY, KEY_RIGHTMETA));
  EXPECT_FALSE(rig.has(EV_KEY, BTN_LEFT));
  EXPECT_FALSE(rig.has(EV_KEY, KEY_RESERVED));
  EXPECT_TRUE(rig.has(EV_LED, LED_CAPSL));
  EXPECT_TRUE(rig.config(0x11, EV_ABS).empty());
  EXPECT_TRUE(rig.config(99, 7).empty());
}

TEST(VirtioInput, TabletSaysWhatItHas) {
  InputRig rig(Kind::kTablet);
  EXPECT_TRUE(rig.has(EV_ABS, ABS_X));
  EXPECT_TRUE(rig.has(EV_KEY, BTN_EXTRA));
  EXPECT_FALSE(rig.has(EV_REL, REL_X));
  const auto info = rig.config(0x12, ABS_Y);
  ASSERT_EQ(info.size(), 20u);
  EXPECT_EQ(load_le<u32>(&info[4]), 0x7fffu);
  EXPECT_TRUE(rig.config(0x12, ABS_Z).empty());
}

TEST(VirtioInput, EventsArriveAsReports) {
  InputRig rig(Kind::kTablet);
  rig.input->point(1, 2, 0);
  EXPECT_FALSE(rig.input->is_listening());
  rig.start_with_buffers();
  EXPECT_TRUE(rig.input->is_listening());
  rig.input->point(0x1234, 0x7fff, -1);
  rig.input->button(MouseButton::kRight, true);
  EXPECT_EQ(rig.events(), (Events{{EV_ABS, ABS_X, 0x1234},
                                  {EV_ABS, ABS_Y, 0x7fff},
                                  {EV_REL, REL_WHEEL, 0xffffffff},
                                  kEnd,
                                  {EV_KEY, BTN_RIGHT, 1},
                                  kEnd}));
  EXPECT_NE(rig.isr() & virtio::kIsrQueue, 0u);
}

TEST(VirtioInput, WhatHasNoBufferWaits) {
  InputRig rig(Kind::kMouse);
  rig.start(0, 16);
  rig.input->move(-3, 4, 0);
  EXPECT_EQ(rig.used_index(0), 0);
  for (u16 i = 0; i < 3; ++i) rig.offer(0, {{kBuffers + i * 8u, 8, true}}, i);
  rig.notify(0);
  EXPECT_EQ(rig.events(), (Events{{EV_REL, REL_X, 0xfffffffd}, {EV_REL, REL_Y, 4}, kEnd}));
}

TEST(VirtioInput, SlowDriversLoseEventsNotMemory) {
  InputRig rig(Kind::kKeyboard);
  rig.start(0, 16);
  for (int i = 0; i < 10000; ++i) rig.input->key(4, i % 2 == 0);
  for (u16 i = 0; i < 16; ++i) rig.offer(0, {{kBuffers + i * 8u, 8, true}}, i);
  rig.notify(0);
  EXPECT_EQ(rig.used_index(0), 16);
}

TEST(VirtioInput, BuffersOutsideRamBreakTheDevice) {
  set_log_level(LogLevel::kError);
  InputRig rig(Kind::kKeyboard);
  rig.start(0, 16);
  rig.offer(0, {{0xf0000000, 8, true}});
  rig.notify(0);
  rig.input->key(4, true);
  EXPECT_NE(rig.status() & virtio::kNeedsReset, 0);
  set_log_level(LogLevel::kWarning);
}

struct VirtioInputRig final : DeviceRig {
  InputRig rig{Kind::kTablet};
  Device& device() override { return *rig.pci; }
  std::vector<PciFunction*> functions() override { return {rig.pci.get()}; }
  void poke(u64 random) override { rig.input->point(static_cast<u16>(random & 0x7fff), 5, 1); }
};
INSTANTIATE_TEST_SUITE_P(VirtioInput, TransferTest,
                         testing::Values(device_under_test<VirtioInputRig>("virtio_input")),
                         device_under_test_name);

}  // namespace
}  // namespace emu
