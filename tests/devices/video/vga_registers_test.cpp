// SPDX-License-Identifier: Apache-2.0
// VGA registers, planar memory and VBE registers, as register scripts.
#include <gtest/gtest.h>

#include "devices/video/vga_bench.h"

namespace emu {
namespace {

constexpr u64 kLfb = VgaBench::kFramebuffer;
constexpr u64 kMmio = VgaBench::kMmio;

TEST(VgaRegisters, IndexedRegistersKeepTheirImplementedBits) {
  VgaBench bench;
  bench.out8(0x3C2, 0x67);
  bench.set(0x3C4, 2, 0xFF);
  EXPECT_EQ(bench.get(0x3C4, 2), 0x0Fu);
  bench.set(0x3CE, 5, 0xFF);
  EXPECT_EQ(bench.get(0x3CE, 5), 0x7Bu);
  bench.set(0x3D4, 0x0C, 0xAB);
  EXPECT_EQ(bench.get(0x3D4, 0x0C), 0xABu);
  EXPECT_EQ(bench.in8(0x3CC), 0x67u);
}

TEST(VgaRegisters, CrtcAnswersOnlyAtTheSelectedPorts) {
  VgaBench bench;
  bench.out8(0x3C2, 0x67);  // colour: 3Dx
  bench.set(0x3D4, 0x0E, 0x12);
  bench.set(0x3B4, 0x0E, 0x34);
  EXPECT_EQ(bench.in8(0x3B5), 0xFFu);
  EXPECT_EQ(bench.in8(0x3D5), 0x12u);
  bench.out8(0x3C2, 0x66);  // monochrome: 3Bx
  EXPECT_EQ(bench.in8(0x3D5), 0xFFu);
  EXPECT_EQ(bench.in8(0x3B5), 0x12u);
}

TEST(VgaRegisters, CrtcProtectionLeavesOneBitOfLineCompare) {
  VgaBench bench;
  bench.set_mode(kMode03);  // ends with CR11 bit 7 set
  bench.set(0x3D4, 0x00, 0x11);
  EXPECT_EQ(bench.get(0x3D4, 0x00), 0x5Fu);
  bench.set(0x3D4, 0x07, 0x00);
  EXPECT_EQ(bench.get(0x3D4, 0x07), 0x0Fu) << "only bit 4 changed";
}

TEST(VgaRegisters, AttributePortTogglesAndStatusReadRestartsIt) {
  VgaBench bench;
  bench.out8(0x3C2, 0x67);
  bench.set_attr(0x01, 0x2A);
  bench.out8(0x3C0, 0x02);  // an index, and then a change of mind
  static_cast<void>(bench.in8(0x3DA));
  bench.out8(0x3C0, 0x01);
  EXPECT_EQ(bench.in8(0x3C1), 0x2Au);
  EXPECT_EQ(bench.in8(0x3C0), 0x2Au);
}

TEST(VgaRegisters, DacTakesThreeBytesAndCountsOn) {
  VgaBench bench;
  bench.out8(0x3C8, 254);
  for (u32 v = 1; v <= 9; ++v) bench.out8(0x3C9, v);  // 254, 255, 0
  EXPECT_EQ(bench.in8(0x3C7), 0u);
  bench.out8(0x3C7, 255);
  EXPECT_EQ(bench.in8(0x3C7), 3u);
  EXPECT_EQ(bench.in8(0x3C9), 4u);
  EXPECT_EQ(bench.in8(0x3C9), 5u);
  EXPECT_EQ(bench.in8(0x3C9), 6u);
  EXPECT_EQ(bench.in8(0x3C9), 7u) << "entry 0";
}

TEST(VgaRegisters, RetraceComesOncePerFrame) {
  VgaBench bench;
  bench.set_mode(kMode03);  // 900 dots * 449 lines at 28.322 MHz: 70.09 Hz
  u32 retraces = 0;
  bool was_in_retrace = true;
  for (u32 us = 0; us < 1'000'000; us += 10) {
    const bool in_retrace = (bench.in8(0x3DA) & 8) != 0;
    if (in_retrace && !was_in_retrace) ++retraces;
    was_in_retrace = in_retrace;
    bench.clock.advance(10'000);
  }
  EXPECT_EQ(retraces, 70u);
}

TEST(VgaRegisters, PortsWithoutRegistersAreOpen) {
  VgaBench bench;
  EXPECT_EQ(bench.in8(0x3BC), 0xFFu);
  EXPECT_EQ(bench.in8(0x3D8), 0xFFu);
}

TEST(VgaPlanes, WriteMode0RotatesCombinesAndMasks) {
  VgaBench bench;
  bench.set_mode(kMode12);
  bench.poke(0xA0000, 0xF0);
  EXPECT_EQ(bench.peek32(kLfb), 0xF0F0F0F0u);
  bench.set(0x3CE, 3, 0x18 | 4);  // exclusive or, rotate by 4
  bench.set(0x3CE, 8, 0x3F);
  EXPECT_EQ(bench.peek(0xA0000), 0xF0u);  // loads the latches
  bench.poke(0xA0000, 0xF1);              // rotated: 1F
  EXPECT_EQ(bench.peek(0xA0000), 0xEFu);
}

TEST(VgaPlanes, SetResetFillsEnabledPlanes) {
  VgaBench bench;
  bench.set_mode(kMode12);
  bench.set(0x3CE, 0, 0x05);
  bench.set(0x3CE, 1, 0x07);  // planes 0-2 from set/reset, plane 3 from the processor
  bench.poke(0xA0001, 0x81);
  EXPECT_EQ(bench.peek32(kLfb + 4), 0x81FF00FFu);
}

TEST(VgaPlanes, WriteMode1CopiesLatches) {
  VgaBench bench;
  bench.set_mode(kMode12);
  bench.poke32(kLfb, 0x12345678);
  static_cast<void>(bench.peek(0xA0000));
  bench.set(0x3CE, 5, 1);
  bench.poke(0xA0005, 0xFF);
  EXPECT_EQ(bench.peek32(kLfb + 20), 0x12345678u);
}

TEST(VgaPlanes, WriteMode2SetsAColourThroughTheBitMask) {
  VgaBench bench;
  bench.set_mode(kMode12);
  bench.set(0x3CE, 5, 2);
  bench.set(0x3CE, 8, 0x10);
  static_cast<void>(bench.peek(0xA0000));
  bench.poke(0xA0000, 0x0A);
  EXPECT_EQ(bench.peek32(kLfb), 0x10001000u);
}

TEST(VgaPlanes, WriteMode3UsesTheByteAsMask) {
  VgaBench bench;
  bench.set_mode(kMode12);
  bench.set(0x3CE, 5, 3);
  bench.set(0x3CE, 0, 0x06);
  bench.set(0x3CE, 8, 0x0F);
  static_cast<void>(bench.peek(0xA0000));
  bench.poke(0xA0000, 0x3C);
  EXPECT_EQ(bench.peek32(kLfb), 0x000C0C00u);
}

TEST(VgaPlanes, ReadModesSelectAPlaneOrCompareColours) {
  VgaBench bench;
  bench.set_mode(kMode12);
  bench.poke32(kLfb, 0x0F00FFF0);  // planes 0-3: F0, FF, 00, 0F
  bench.set(0x3CE, 4, 3);
  EXPECT_EQ(bench.peek(0xA0000), 0x0Fu);
  bench.set(0x3CE, 5, 8);
  bench.set(0x3CE, 2, 0x03);  // colour 3: the left four pixels
  EXPECT_EQ(bench.peek(0xA0000), 0xF0u);
  bench.set(0x3CE, 7, 0x02);  // only plane 1 counts
  EXPECT_EQ(bench.peek(0xA0000), 0xFFu);
}

TEST(VgaPlanes, MapMaskProtectsPlanes) {
  VgaBench bench;
  bench.set_mode(kMode12);
  bench.set(0x3C4, 2, 0x0A);
  bench.poke(0xA0000, 0xFF);
  EXPECT_EQ(bench.peek32(kLfb), 0xFF00FF00u);
}

TEST(VgaPlanes, OddAndEvenAddressesAreCharactersAndAttributes) {
  VgaBench bench;
  bench.set_mode(kMode03);
  bench.poke32(0xB8000, 0x1F421F41);
  EXPECT_EQ(bench.peek32(0xB8000), 0x1F421F41u);
  EXPECT_EQ(bench.peek32(kLfb), 0x00001F41u);
  EXPECT_EQ(bench.peek32(kLfb + 4), 0x00001F42u);
  EXPECT_EQ(bench.peek(0xA0000), 0xFFu) << "outside the selected window";
}

TEST(VgaPlanes, Chain4IsMemoryInTheWindow) {
  VgaBench bench;
  bench.set_mode(kMode13);
  const auto view = bench.memory_space.view();
  ASSERT_NE(view->find(0xA0000), nullptr);
  EXPECT_EQ(view->find(0xA0000)->ram, bench.vram.get()) << "directly";
  bench.poke32(0xA0003, 0x04030201);
  EXPECT_EQ(bench.peek32(kLfb + 3), 0x04030201u);
  bench.set(0x3C4, 2, 0x01);  // one plane only: not plain memory any more
  EXPECT_EQ(bench.memory_space.view()->find(0xA0000)->ram, nullptr);
  bench.poke32(0xA0000, 0xEEEEEEEE);
  EXPECT_EQ(bench.peek32(kLfb), 0x010000EEu);
}

TEST(BochsVbe, TellsItsVersionAndMemory) {
  VgaBench bench(16 * kMiB);
  EXPECT_EQ(bench.get_vbe(0), 0xB0C5u);
  EXPECT_EQ(bench.get_vbe(10), 256u);
  bench.set_vbe(0, 0xB0C2);
  EXPECT_EQ(bench.get_vbe(0), 0xB0C2u);
  bench.set_vbe(0, 0x1234);
  EXPECT_EQ(bench.get_vbe(0), 0xB0C2u);
  bench.set_vbe(4, 2);  // ask for limits
  EXPECT_EQ(bench.get_vbe(1), 8192u);
  EXPECT_EQ(bench.get_vbe(3), 32u);
}

TEST(BochsVbe, DataIsAtTwoPorts) {
  VgaBench bench;
  bench.out16(0x1CE, 1);
  bench.out16(0x1D0, 800);
  EXPECT_EQ(bench.get_vbe(1), 800u);
}

TEST(BochsVbe, FitsAModeIntoMemory) {
  VgaBench bench(4 * kMiB);
  bench.set_vbe_mode(1023, 5000, 32);
  EXPECT_EQ(bench.get_vbe(1), 1016u);
  EXPECT_EQ(bench.get_vbe(2), 4 * kMiB / (1016 * 4));
  bench.set_vbe_mode(640, 480, 32);
  EXPECT_EQ(bench.get_vbe(6), 640u);
  EXPECT_EQ(bench.get_vbe(7), 4 * kMiB / (640 * 4));
  bench.set_vbe(9, 60000);  // panned out of memory: ignored
  EXPECT_EQ(bench.get_vbe(9), 0u);
  bench.set_vbe(3, 7);  // no such depth
  EXPECT_EQ(bench.get_vbe(3), 8u);
}

TEST(BochsVbe, SettingAModeClearsItsMemoryUnlessToldNotTo) {
  VgaBench bench;
  bench.poke32(kLfb + 100, 0x11223344);
  bench.set_vbe_mode(640, 480, 32, 0xC1);
  EXPECT_EQ(bench.peek32(kLfb + 100), 0x11223344u);
  bench.set_vbe_mode(640, 480, 32);
  EXPECT_EQ(bench.peek32(kLfb + 100), 0u);
}

TEST(BochsVbe, BanksShowThroughTheLegacyWindow) {
  VgaBench bench;
  bench.set_vbe_mode(1024, 768, 8);
  bench.set_vbe(5, 3);
  bench.poke(0xA0010, 0x5A);
  EXPECT_EQ(bench.peek(kLfb + 0x30010), 0x5Au);
  EXPECT_EQ(bench.memory_space.view()->find(0xA0000)->ram, bench.vram.get()) << "directly";
}

TEST(BochsVbe, RegistersAnswerInMemoryToo) {
  VgaBench bench;
  EXPECT_EQ(bench.memory_space.load(kMmio + 0x500, 2), 0xB0C5u);
  bench.poke16(kMmio + 0x502, 800);
  EXPECT_EQ(bench.get_vbe(1), 800u);
  bench.poke(kMmio + 0x40E, 8);  // 3CEh
  bench.poke(kMmio + 0x40F, 0x77);
  EXPECT_EQ(bench.get(0x3CE, 8), 0x77u);
  EXPECT_EQ(bench.peek32(kMmio + 0x600), 8u);
  EXPECT_EQ(bench.peek32(kMmio + 0x604), 0x1E1E1E1Eu);
}

TEST(BochsVbe, EdidIsWellFormed) {
  VgaBench bench;
  u32 sum = 0;
  for (u32 i = 0; i < 128; ++i) sum += bench.peek(kMmio + i);
  EXPECT_EQ(sum & 0xFF, 0u);
  EXPECT_EQ(bench.memory_space.load(kMmio, 8), 0x00FFFFFFFFFFFF00u);
  EXPECT_EQ(bench.peek(kMmio + 0x38) | (bench.peek(kMmio + 0x3A) & 0xF0) << 4, 1280u);
  EXPECT_EQ(bench.peek(kMmio + 0x3B) | (bench.peek(kMmio + 0x3D) & 0xF0) << 4, 800u);
}

}  // namespace
}  // namespace emu
