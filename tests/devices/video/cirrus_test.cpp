// SPDX-License-Identifier: Apache-2.0
// The Cirrus GD5446 as drivers use it: modes, banks, the blitter, the pointer. Register names as in
// its technical reference manual.
#include <gtest/gtest.h>

#include "devices/transfer_test.h"
#include "devices/video/cirrus_rig.h"

namespace emu {
namespace {

constexpr u8 kCard = CirrusRig::kCard;
constexpr u64 kLinear = CirrusRig::kLinear, kMmio = CirrusRig::kMmio, kWindow = CirrusRig::kWindow;

class CirrusTest : public ::testing::Test {
 protected:
  u32 pixel(u32 x, u32 y) {
    rig_.card->render(frame_);
    return frame_.pixels.at(std::size_t{y} * frame_.width + x);
  }
  FakeClock clock_;
  CirrusRig rig_{clock_};
  Frame frame_;
};

TEST_F(CirrusTest, IsWhatDriversLookFor) {
  EXPECT_EQ(rig_.read(kCard, 0), 0x00b81013u);
  rig_.cr(0x27, 0);
  EXPECT_EQ(rig_.in(0x3d5), 0xb8) << "CR27 names the 5446";
  rig_.sr(6, 0x12);
  EXPECT_EQ(rig_.in(0x3c5), 0x12) << "unlocked";
  rig_.sr(6, 0);
  EXPECT_EQ(rig_.in(0x3c5), 0x0f);
  rig_.hidden_dac(0xc1);
  for (int i = 0; i < 4; ++i) static_cast<void>(rig_.in(0x3c6));
  EXPECT_EQ(rig_.in(0x3c6), 0xc1);
}

TEST_F(CirrusTest, ShowsEveryDepth) {
  rig_.mode(0x00, 640);
  rig_.out(0x3c8, 7), rig_.out(0x3c9, 63), rig_.out(0x3c9, 0), rig_.out(0x3c9, 63);
  rig_.vram(640 + 3, 7);
  EXPECT_EQ(pixel(3, 1), 0xff00ffu);
  EXPECT_EQ(frame_.width, 640u);
  EXPECT_EQ(frame_.height, 480u);
  rig_.mode(0x06, 1280);
  rig_.hidden_dac(0xc1);
  rig_.memory_space.store(kLinear + 2 * 3, 2, 0xf800);
  EXPECT_EQ(pixel(3, 0), 0xff0000u) << "565";
  rig_.hidden_dac(0xf0);
  rig_.memory_space.store(kLinear + 2 * 3, 2, 0x7c00);
  EXPECT_EQ(pixel(3, 0), 0xff0000u) << "555";
  rig_.mode(0x04, 1920);
  rig_.memory_space.store(kLinear + 1920 * 2 + 3 * 5, 4, 0x00123456);
  EXPECT_EQ(pixel(5, 2), 0x123456u);
  rig_.mode(0x08, 2560);
  rig_.memory_space.store(kLinear + 4 * 9, 4, 0x00abcdef);
  EXPECT_EQ(pixel(9, 0), 0xabcdefu);
}

TEST_F(CirrusTest, BanksShowAllOfTheMemory) {
  rig_.mode(0x00, 640);
  rig_.vram(0x123456, 0x99);
  rig_.gr(0x0b, 0x20);  // one bank, 16 KiB steps
  rig_.gr(9, 0x120000 >> 14);
  EXPECT_EQ(rig_.memory_space.load(kWindow + 0x3456, 1), 0x99u);
  rig_.gr(0x0b, 0x01);  // two banks, 4 KiB steps
  rig_.gr(9, 0), rig_.gr(10, 0xf3000 >> 12);
  rig_.memory_space.store(kWindow + 0x8456, 1, 0x77);
  EXPECT_EQ(rig_.vram(0xf3456), 0x77);
}

TEST_F(CirrusTest, CopiesForwardsAndBackwards) {
  rig_.mode(0x00, 640);
  for (u32 i = 0; i < 8; ++i) rig_.vram(i, static_cast<u8>(i + 1));
  rig_.blit({4, 2, 640, 4, 6400, 0, 0x00});
  EXPECT_EQ(rig_.vram(6400), 1);
  EXPECT_EQ(rig_.vram(6400 + 640 + 3), 8);
  rig_.blit({8, 1, 640, 640, 9, 7, 0x01});  // overlapping, from its end
  for (u32 i = 0; i < 8; ++i) EXPECT_EQ(rig_.vram(2 + i), i + 1);
}

TEST_F(CirrusTest, CombinesAsEveryOperationSays) {
  rig_.mode(0x00, 640);
  const u8 s = 0x3c, d = 0x55;
  const std::pair<u8, u8> expected[] = {{0x00, 0},
                                        {0x05, s & d},
                                        {0x06, d},
                                        {0x09, s & ~d & 0xff},
                                        {0x0b, ~d & 0xff},
                                        {0x0d, s},
                                        {0x0e, 0xff},
                                        {0x50, ~s & d & 0xff},
                                        {0x59, s ^ d},
                                        {0x6d, s | d},
                                        {0x90, (~s | ~d) & 0xff},
                                        {0x95, ~(s ^ d) & 0xff},
                                        {0xad, (s | ~d) & 0xff},
                                        {0xd0, ~s & 0xff},
                                        {0xd6, (~s | d) & 0xff},
                                        {0xda, ~s & ~d & 0xff}};
  for (const auto& [rop, value] : expected) {
    rig_.vram(0, s), rig_.vram(100, d);
    rig_.blit({1, 1, 640, 640, 100, 0, 0x00, rop});
    EXPECT_EQ(rig_.vram(100), value) << int{rop};
  }
}

TEST_F(CirrusTest, ExpandsBitsToColours) {
  rig_.mode(0x06, 1280);
  rig_.gr(0, 0x22), rig_.gr(0x10, 0x33);
  rig_.gr(1, 0x44), rig_.gr(0x11, 0x55);
  rig_.vram(0x1000, 0xa5);
  rig_.blit({16, 1, 1280, 0, 0, 0x1000, 0x90});
  for (u32 i = 0; i < 8; ++i)
    EXPECT_EQ(rig_.memory_space.load(kLinear + 2 * i, 2),
              (0xa5 >> (7 - i) & 1) != 0 ? 0x5544u : 0x3322u);
  rig_.memory_space.store(kLinear, 8, 0);
  rig_.memory_space.store(kLinear + 8, 8, 0);
  rig_.blit({16, 1, 1280, 0, 0, 0x1000, 0x98});
  EXPECT_EQ(rig_.memory_space.load(kLinear, 4), 0x00005544u) << "transparent";
}

TEST_F(CirrusTest, FillsWithPatternsAndSolidly) {
  rig_.mode(0x00, 640);
  for (u32 i = 0; i < 64; ++i) rig_.vram(0x2000 + i, static_cast<u8>(i));
  rig_.blit({20, 10, 640, 0, 0, 0x2000, 0x40});
  EXPECT_EQ(rig_.vram(640 * 3 + 10), 3 * 8 + 2);
  EXPECT_EQ(rig_.vram(640 * 9 + 7), 8 + 7);
  rig_.gr(1, 0x66);
  rig_.blit({20, 10, 640, 0, 0, 0, 0xc0, 0x0d, 0x04});
  EXPECT_EQ(rig_.vram(640 * 9 + 19), 0x66);
  EXPECT_EQ(rig_.vram(640 * 9 + 20), 0) << "and no further";
}

TEST_F(CirrusTest, TakesItsSourceFromTheProcessor) {
  rig_.mode(0x00, 640);
  rig_.blit({6, 2, 640, 0, 1000, 0, 0x04});
  rig_.gr(0x31, 0);
  EXPECT_EQ(rig_.in(0x3cf) & 1, 1) << "busy";
  for (u32 i = 0; i < 4; ++i) rig_.memory_space.store(kLinear, 4, 0x04030201 + 0x04040404 * i);
  EXPECT_EQ(rig_.in(0x3cf) & 1, 0);
  EXPECT_EQ(rig_.vram(1000), 1);
  EXPECT_EQ(rig_.vram(1005), 6);
  EXPECT_EQ(rig_.vram(1006), 0) << "rows are padded to doublewords";
  EXPECT_EQ(rig_.vram(1640), 9);
}

TEST_F(CirrusTest, BlitsFromRegistersInMemory) {
  rig_.mode(0x00, 640);
  rig_.vram(0, 0x5a);
  const auto set = [this](u64 at, u64 value, unsigned bytes) {
    rig_.memory_space.store(kMmio + 0x100 + at, bytes, value);
  };
  set(0x08, 0, 2), set(0x0a, 0, 2), set(0x0c, 640, 2), set(0x0e, 640, 2);
  set(0x10, 77, 2), set(0x12, 0, 1), set(0x14, 0, 2), set(0x16, 0, 1);
  set(0x18, 0, 1), set(0x1a, 0x0d, 1), set(0x1b, 0, 1);
  set(0x40, 2, 1);
  EXPECT_EQ(rig_.vram(77), 0x5a);
}

TEST_F(CirrusTest, DrawsItsPointer) {
  rig_.mode(0x08, 2560);
  rig_.sr(0x12, 0x02);  // the pointer's colours
  rig_.out(0x3c8, 15);
  for (int i = 0; i < 3; ++i) rig_.out(0x3c9, 63);
  const u32 pattern = cirrus::kVramBytes - 16 * 1024;
  rig_.vram(pattern, 0xc0);        // row 0: inverted, foreground
  rig_.vram(pattern + 128, 0x60);  // and background
  rig_.sr(0x13, 0);
  rig_.sr(0x10 | 4 << 5, 12);  // x = 100
  rig_.sr(0x11, 25);           // y = 200
  rig_.sr(0x12, 0x01);
  EXPECT_EQ(pixel(100, 200), 0xffffffu) << "black, inverted";
  EXPECT_EQ(pixel(101, 200), 0xffffffu) << "foreground";
  EXPECT_EQ(pixel(102, 200), 0u) << "background";
  EXPECT_EQ(pixel(103, 200), 0u) << "transparent";
  rig_.sr(0x11, 30);
  EXPECT_EQ(pixel(100, 200), 0u) << "moved away";
  EXPECT_EQ(pixel(100, 240), 0xffffffu);
}

class SpaceWindow final : public IoHandler {
 public:
  SpaceWindow(AddressSpace& space, u64 base) : space_(space), base_(base) {}
  u64 read(u64 offset, unsigned size) override { return space_.load(base_ + offset, size); }
  void write(u64 offset, unsigned size, u64 value) override {
    space_.store(base_ + offset, size, value);
  }

 private:
  AddressSpace& space_;
  u64 base_;
};
struct TransferRig final : DeviceRig {
  CirrusRig rig{clock};
  SpaceWindow ports{rig.port_space, 0x3c0};
  SpaceWindow memory{rig.memory_space, kWindow};
  SpaceWindow mmio{rig.memory_space, kMmio};
  Frame frame;
  Device& device() override { return *rig.card; }
  std::vector<RigWindow> windows() override {
    return {{&ports, 0x20}, {&memory, 0x20000, {1, 8, true}}, {&mmio, 0x150, {1, 4, true}}};
  }
  std::vector<PciFunction*> functions() override { return {rig.card.get()}; }
  void poke(u64) override { rig.card->render(frame); }
};
INSTANTIATE_TEST_SUITE_P(Cirrus, TransferTest,
                         testing::Values(device_under_test<TransferRig>("cirrus")),
                         device_under_test_name);

}  // namespace
}  // namespace emu
