// SPDX-License-Identifier: Apache-2.0
// What the VGA draws. The hashes are of pictures that a person has looked at: to look again, set
// EMU_TEST_PICTURES to a folder. Where a few pixels say it all, they are compared instead.
#include <gtest/gtest.h>

#include <random>

#include "devices/video/vga_bench.h"

namespace emu {
namespace {

constexpr u64 kLfb = VgaBench::kFramebuffer;
constexpr u32 kBlack = 0x000000, kBlue = 0x0000AA, kGrey = 0xAAAAAA, kWhite = 0xFFFFFF;

u32 pixel(const Frame& frame, u32 x, u32 y) {
  return frame.pixels.at(std::size_t{y} * frame.width + x);
}

void expect_picture(const Frame& frame, const std::string& name, u64 hash) {
  save_picture(frame, name);
  EXPECT_EQ(picture_hash(frame), hash) << name << ": 0x" << std::hex << picture_hash(frame);
}

// A frame, and the eight bits of the code as dots inside, the lowest at the top.
void load_font(VgaBench& bench) {
  bench.set(0x3C4, 2, 4);  // plane 2, planar addresses, A0000h
  bench.set(0x3C4, 4, 7);
  bench.set(0x3CE, 5, 0);
  bench.set(0x3CE, 6, 4);
  for (u32 code = 1; code < 256; ++code) {
    for (u32 row = 0; row < 16; ++row) {
      u32 dots = row == 0 || row == 15 ? 0xFF : 0x81;
      const u32 which = (row - 2) / 3;  // four rows of two dots
      if (row >= 2 && row < 14 && (row - 2) % 3 < 2) {
        if ((code >> (which * 2) & 1) != 0) dots |= 0x30;
        if ((code >> (which * 2 + 1) & 1) != 0) dots |= 0x0C;
      }
      bench.poke(0xA0000 + code * 32 + row, dots);
    }
  }
  bench.set(0x3C4, 2, 3);
  bench.set(0x3C4, 4, 2);
  bench.set(0x3CE, 5, 0x10);
  bench.set(0x3CE, 6, 0x0E);
}

void print(VgaBench& bench, u32 column, u32 row, u32 attribute, std::string_view text) {
  for (const char c : text) {
    bench.poke16(0xB8000 + (row * 80 + column++) * u64{2}, static_cast<u8>(c) | attribute << 8);
  }
}

// "Hello" in white on blue, and every character in its own colours.
void show_text(VgaBench& bench) {
  bench.set_mode(kMode03);
  load_font(bench);
  for (u32 i = 0; i < 256; ++i) {
    bench.poke16(0xB8000 + (i / 32 + 2) * u64{160} + (i % 32) * 4, i | i << 8);
  }
  print(bench, 0, 0, 0x1F, "Hello");
}

TEST(VgaText, DrawsCharactersColoursAndCursor) {
  VgaBench bench;
  show_text(bench);
  print(bench, 5, 0, 0x07, " ");
  bench.set(0x3D4, 0x0F, 5);  // cursor behind "Hello"
  const Frame frame = bench.picture();
  EXPECT_EQ(frame.width, 720u);
  EXPECT_EQ(frame.height, 400u);
  EXPECT_EQ(pixel(frame, 0, 0), kWhite);
  EXPECT_EQ(pixel(frame, 1, 1), kBlue);
  EXPECT_EQ(pixel(frame, 8, 0), kBlue) << "the ninth dot is background";
  EXPECT_EQ(pixel(frame, 46, 13), kGrey) << "cursor";
  expect_picture(frame, "text", 0x27898466197d9161);
}

TEST(VgaText, NinthDotJoinsLineGraphics) {
  VgaBench bench;
  show_text(bench);
  bench.poke32(0xB8000, 0x1FC11FC0);
  EXPECT_EQ(pixel(bench.picture(), 8, 0), kWhite);
}

TEST(VgaText, CursorAndTextBlinkWithVmTime) {
  VgaBench bench;
  show_text(bench);
  const u32 y = 24 * 16;
  print(bench, 0, 24, 0x87, "A");  // blinking
  print(bench, 2, 24, 0x07, " ");
  bench.set(0x3D4, 0x0E, (24 * 80 + 2) >> 8);
  bench.set(0x3D4, 0x0F, (24 * 80 + 2) & 255);
  Frame frame;
  bench.vga.render(frame);
  EXPECT_EQ(pixel(frame, 2 * 9 + 1, y + 14), kGrey);
  EXPECT_EQ(pixel(frame, 0, y), kGrey);
  bench.clock.advance(230'000'000);  // 16 frames: the cursor is off
  EXPECT_TRUE(bench.vga.render(frame));
  EXPECT_EQ(frame.changed_top, y);
  EXPECT_EQ(frame.changed_bottom, y + 16);
  EXPECT_EQ(pixel(frame, 2 * 9 + 1, y + 14), kBlack);
  bench.clock.advance(230'000'000);  // 32 frames: the text is, too
  bench.vga.render(frame);
  EXPECT_EQ(pixel(frame, 0, y), kBlack);
}

TEST(VgaText, OnlyChangedRowsAreDrawn) {
  VgaBench bench;
  show_text(bench);
  Frame frame;
  EXPECT_TRUE(bench.vga.render(frame));
  EXPECT_FALSE(bench.vga.render(frame));
  print(bench, 10, 7, 0x0F, "x");
  EXPECT_TRUE(bench.vga.render(frame));
  EXPECT_EQ(frame.changed_top, 7u * 16);
  EXPECT_EQ(frame.changed_bottom, 8u * 16);
  const Frame late = bench.picture();  // a second viewer gets everything
  EXPECT_EQ(late.pixels, frame.pixels);
}

TEST(VgaText, FontAndPaletteChangesShow) {
  VgaBench bench;
  show_text(bench);
  Frame frame;
  bench.vga.render(frame);
  bench.set(0x3C4, 3, 0x05);  // both fonts from slot 1, which is empty
  EXPECT_TRUE(bench.vga.render(frame));
  EXPECT_EQ(pixel(frame, 0, 0), kBlue);
  bench.out8(0x3C8, 1);
  for (int i = 0; i < 3; ++i) bench.out8(0x3C9, 63);
  EXPECT_TRUE(bench.vga.render(frame));
  EXPECT_EQ(pixel(frame, 0, 0), kWhite);
}

TEST(VgaText, ScrollsByStartAddressAndSplitsAtLineCompare) {
  VgaBench bench;
  show_text(bench);
  bench.set(0x3D4, 0x0D, 160);  // two rows down
  bench.set(0x3D4, 0x18, 199);
  bench.set(0x3D4, 0x11, 0);
  bench.set(0x3D4, 0x07, 0x0F);
  bench.set(0x3D4, 0x09, 0x0F);
  const Frame frame = bench.picture();
  EXPECT_EQ(pixel(frame, 1, 201), kBlue) << "the split shows address 0";
  expect_picture(frame, "text-split", 0x444007f9a82d6e1d);
}

TEST(VgaText, GivesCellsToTerminals) {
  VgaBench bench;
  show_text(bench);
  bench.set(0x3D4, 0x0F, 5);
  TextScreen screen;
  ASSERT_TRUE(bench.vga.text(screen));
  EXPECT_EQ(screen.columns, 80u);
  EXPECT_EQ(screen.rows, 25u);
  EXPECT_EQ(screen.cells[0], 0x1F00 | 'H');
  EXPECT_EQ(screen.cursor_column, 5);
  EXPECT_EQ(screen.cursor_row, 0);
  bench.set_mode(kMode12);
  EXPECT_FALSE(bench.vga.text(screen));
}

TEST(VgaGraphics, Planar640x480) {
  VgaBench bench;
  bench.set_mode(kMode12);
  for (u32 y = 0; y < 480; ++y) {
    for (u32 column = 0; column < 80; ++column) {
      bench.set(0x3C4, 2, (column / 5 + y / 30) & 15);
      bench.poke(0xA0000 + y * 80 + column, y % 30 == 0 ? 0x00 : 0xFE);
    }
  }
  const Frame frame = bench.picture();
  EXPECT_EQ(frame.width, 640u);
  EXPECT_EQ(frame.height, 480u);
  EXPECT_EQ(pixel(frame, 40, 1), kBlue);
  EXPECT_EQ(pixel(frame, 47, 1), kBlack);
  expect_picture(frame, "mode12", 0x2ec3289f55ad2025);
}

TEST(VgaGraphics, Planar320x200IsDoubled) {
  VgaBench bench;
  bench.set_mode(kMode0D);
  bench.set(0x3C4, 2, 1);
  bench.poke(0xA0000 + 40, 0x80);  // second row, first pixel
  const Frame frame = bench.picture();
  EXPECT_EQ(frame.width, 640u);
  EXPECT_EQ(frame.height, 400u);
  EXPECT_EQ(pixel(frame, 0, 1), kBlack);
  EXPECT_EQ(pixel(frame, 0, 2), kBlue);
  EXPECT_EQ(pixel(frame, 1, 3), kBlue);
  EXPECT_EQ(pixel(frame, 2, 3), kBlack);
  EXPECT_EQ(pixel(frame, 0, 4), kBlack);
}

// Red, green and blue in three, three and two bits.
void load_colour_cube(VgaBench& bench) {
  bench.out8(0x3C8, 0);
  for (u32 i = 0; i < 256; ++i) {
    bench.out8(0x3C9, (i >> 5) * 9);
    bench.out8(0x3C9, (i >> 2 & 7) * 9);
    bench.out8(0x3C9, (i & 3) * 21);
  }
}

TEST(VgaGraphics, Mode13h) {
  VgaBench bench;
  bench.set_mode(kMode13);
  load_colour_cube(bench);
  for (u32 y = 0; y < 200; ++y) {
    for (u32 x = 0; x < 320; ++x) bench.poke(0xA0000 + y * 320 + x, (x * 256 / 320) ^ y);
  }
  const Frame frame = bench.picture();
  EXPECT_EQ(frame.width, 640u);
  EXPECT_EQ(frame.height, 400u);
  expect_picture(frame, "mode13", 0xbba9e04f31cea325);
}

TEST(VgaGraphics, ModeXWritesPlanesAndShowsThemInOrder) {
  VgaBench bench;
  bench.set_mode(kMode13);
  load_colour_cube(bench);
  bench.set(0x3C4, 4, 0x06);
  bench.set(0x3D4, 0x14, 0x00);
  bench.set(0x3D4, 0x17, 0xE3);
  for (u32 plane = 0; plane < 4; ++plane) {
    bench.set(0x3C4, 2, 1 << plane);
    bench.poke(0xA0000, 0x1C * (plane & 1) + 0xE0 * (plane >> 1));
  }
  const Frame frame = bench.picture();
  EXPECT_EQ(pixel(frame, 0, 0), kBlack);
  EXPECT_EQ(pixel(frame, 2, 0), 0x00FF00u);
  EXPECT_EQ(pixel(frame, 4, 0), 0xFF0000u);
  EXPECT_EQ(pixel(frame, 7, 1), 0xFFFF00u);
}

TEST(VgaGraphics, CgaFourColours) {
  VgaBench bench;
  bench.set_mode(kMode04);
  bench.load_cga_palette();
  bench.poke(0xB8000, 0b00'01'10'11);
  bench.poke(0xB8001, 0b11'00'00'00);
  bench.poke(0xBA000, 0b01'00'00'00);  // odd rows have their own half
  const Frame frame = bench.picture();
  EXPECT_EQ(frame.width, 640u);
  EXPECT_EQ(frame.height, 400u);
  const u32 cyan = 0x55FFFF, magenta = 0xFF55FF;
  EXPECT_EQ(pixel(frame, 0, 0), kBlack);
  EXPECT_EQ(pixel(frame, 2, 0), cyan);
  EXPECT_EQ(pixel(frame, 4, 1), magenta);
  EXPECT_EQ(pixel(frame, 6, 0), kWhite);
  EXPECT_EQ(pixel(frame, 8, 0), kWhite);
  EXPECT_EQ(pixel(frame, 10, 0), kBlack);
  EXPECT_EQ(pixel(frame, 0, 2), cyan);
}

TEST(VgaGraphics, CgaTwoColours) {
  VgaBench bench;
  bench.set_mode(kMode06);
  bench.load_cga_palette();
  bench.poke(0xB8000, 0xA0);
  bench.poke(0xBA000, 0x40);
  const Frame frame = bench.picture();
  EXPECT_EQ(frame.width, 640u);
  EXPECT_EQ(pixel(frame, 0, 0), kWhite);
  EXPECT_EQ(pixel(frame, 1, 0), kBlack);
  EXPECT_EQ(pixel(frame, 2, 1), kWhite);
  EXPECT_EQ(pixel(frame, 1, 2), kWhite);
}

TEST(VgaGraphics, PansByPixels) {
  VgaBench bench;
  bench.set_mode(kMode12);
  bench.poke(0xA0001, 0x80);
  bench.set_attr(0x13, 3);
  bench.video_on();
  EXPECT_EQ(pixel(bench.picture(), 5, 0), kWhite);
}

TEST(VgaGraphics, BlankScreenKeepsItsSize) {
  VgaBench bench;
  bench.set_mode(kMode12);
  bench.poke(0xA0000, 0xFF);
  Frame frame;
  bench.vga.render(frame);
  EXPECT_EQ(pixel(frame, 0, 0), kWhite);
  bench.set(0x3C4, 1, 0x21);
  EXPECT_TRUE(bench.vga.render(frame));
  EXPECT_EQ(frame.width, 640u);
  EXPECT_EQ(pixel(frame, 0, 0), kBlack);
}

// One pixel of each depth, at the left of the second row.
TEST(VgaVbe, DirectColours) {
  struct Depth {
    u32 bits, bytes, value, shown;
  };
  for (const Depth depth : {Depth{15, 2, 0x7C00, 0xFF0000}, Depth{16, 2, 0x07E0, 0x00FF00},
                            Depth{24, 3, 0x123456, 0x123456}, Depth{32, 4, 0xFF654321, 0x654321}}) {
    VgaBench bench;
    bench.set_vbe_mode(800, 600, depth.bits);
    bench.poke32(kLfb + 800 * depth.bytes, depth.value);
    const Frame frame = bench.picture();
    EXPECT_EQ(frame.width, 800u);
    EXPECT_EQ(frame.height, 600u);
    EXPECT_EQ(pixel(frame, 0, 1), depth.shown) << depth.bits;
    EXPECT_EQ(pixel(frame, 0, 0), kBlack) << depth.bits;
  }
}

TEST(VgaVbe, EightBitsThroughAnEightBitDac) {
  VgaBench bench;
  bench.set_vbe_mode(640, 480, 8, 0x61);
  bench.out8(0x3C8, 7);
  for (const u32 v : {0x12u, 0x34u, 0x56u}) bench.out8(0x3C9, v);
  bench.poke(kLfb + 3, 7);
  EXPECT_EQ(pixel(bench.picture(), 3, 0), 0x123456u);
}

TEST(VgaVbe, SixteenColoursArePlanar) {
  VgaBench bench;
  bench.set_mode(kMode12);
  bench.set_vbe_mode(800, 600, 4);
  bench.poke(0xA0000 + 100, 0x40);  // second row
  const Frame frame = bench.picture();
  EXPECT_EQ(frame.width, 800u);
  EXPECT_EQ(pixel(frame, 1, 1), kWhite);
  EXPECT_EQ(pixel(frame, 0, 1), kBlack);
}

TEST(VgaVbe, PansOverAVirtualScreen) {
  VgaBench bench;
  bench.set_vbe_mode(640, 480, 32);
  bench.set_vbe(6, 1024);
  bench.set_vbe(8, 8);
  bench.set_vbe(9, 16);
  bench.poke32(kLfb + (16 * 1024 + 8) * 4, 0x00ABCDEF);
  EXPECT_EQ(pixel(bench.picture(), 0, 0), 0xABCDEFu);
}

TEST(VgaVbe, OnlyRowsOnWrittenPagesAreDrawn) {
  VgaBench bench;
  bench.set_vbe_mode(1024, 768, 32);  // a row is a page
  Frame frame;
  bench.vga.render(frame);
  bench.vga.render(frame);
  EXPECT_FALSE(bench.vga.render(frame));
  bench.poke32(kLfb + 300 * 4096, 0xFFFFFF);
  bench.poke32(kLfb + 305 * 4096, 0xFFFFFF);
  EXPECT_TRUE(bench.vga.render(frame));
  EXPECT_EQ(frame.changed_top, 300u);
  EXPECT_EQ(frame.changed_bottom, 306u);
  EXPECT_EQ(pixel(frame, 0, 305), kWhite);
}

// A processor that has not noticed yet that a page was marked clean stores there without a mark.
TEST(VgaVbe, AStoreJustAfterAPictureIsInTheNext) {
  constexpr u32 kRow = 4096;
  VgaBench bench;
  bench.set_vbe_mode(1024, 768, 32);
  Frame frame;
  bench.vga.render(frame);
  bench.vga.render(frame);
  bench.poke32(kLfb + 300 * kRow, 0x1);
  EXPECT_TRUE(bench.vga.render(frame));
  bench.vram->host()[300 * kRow + 1] = 0xff;
  EXPECT_TRUE(bench.vga.render(frame));
  EXPECT_EQ(pixel(frame, 0, 300), 0xff01u);
  EXPECT_FALSE(bench.vga.render(frame)) << "nothing is drawn when all is quiet";
}

TEST(VgaVbe, FourK) {
  VgaBench bench(64 * kMiB);
  bench.set_vbe_mode(3840, 2160, 32);
  bench.poke32(kLfb + (3840 * 2160 - 1) * 4, 0x777777);
  const Frame frame = bench.picture();
  EXPECT_EQ(frame.width, 3840u);
  EXPECT_EQ(frame.height, 2160u);
  EXPECT_EQ(pixel(frame, 3839, 2159), 0x777777u);
}

TEST(Vga, NoRegisterValueCrashesThePicture) {
  VgaBench bench(256 * kKiB);
  std::mt19937 engine(1);
  const auto random = [&engine] { return static_cast<u32>(engine()); };
  Frame frame;
  TextScreen screen;
  for (u32 round = 0; round < 300; ++round) {
    for (u32 i = 0; i < 40; ++i) {
      bench.out8(static_cast<u16>(0x3C0 + random() % 32), random());
      bench.set_vbe(random() % 11, random() % 1200);
      bench.memory_space.store(0xA0000 + random() % 0x1FFF0, 8, random());
      static_cast<void>(bench.memory_space.load(0xA0000 + random() % 0x1FFF0, 8));
    }
    bench.out8(0x3C2, 0x67);
    if (round % 4 != 0) bench.video_on();
    bench.clock.advance(100'000'000);
    bench.vga.render(frame);
    bench.vga.text(screen);
    EXPECT_EQ(frame.pixels.size(), std::size_t{frame.width} * frame.height);
  }
}

}  // namespace
}  // namespace emu
