// SPDX-License-Identifier: Apache-2.0
// The text mode that a kernel finds when it is started without firmware.
#include "machine/boot/text_screen.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "devices/video/vga_bench.h"

namespace emu {
namespace {

// A ROM with the two glyphs that fonts are known by, and an "A" that is a bar at the left.
std::vector<u8> rom_with_font() {
  constexpr u8 kFace[] = {0x7e, 0x81, 0xa5, 0x81, 0x81, 0xbd, 0x99, 0x81, 0x81, 0x7e};
  std::vector<u8> rom(100, 0xcc);
  rom.resize(100 + 4096);
  std::ranges::copy(kFace, rom.begin() + 100 + 16 + 2);
  std::fill_n(rom.begin() + 100 + 'A' * 16, 16, u8{0x80});
  rom.resize(8192, 0xcc);
  return rom;
}

TEST(TextScreen, FindsTheFont) {
  const std::vector<u8> rom = rom_with_font();
  EXPECT_EQ(find_text_font(rom).data(), rom.data() + 100);
  EXPECT_EQ(find_text_font(rom).size(), 4096u);
  EXPECT_TRUE(find_text_font(std::span(rom).first(4000)).empty()) << "cut short";
  EXPECT_TRUE(find_text_font({}).empty());
}

TEST(TextScreen, ShowsText) {
  VgaBench bench;
  const std::vector<u8> rom = rom_with_font();
  set_text_mode(bench.port_space, bench.memory_space, find_text_font(rom));
  TextScreen screen;
  ASSERT_TRUE(bench.vga.text(screen));
  EXPECT_EQ(screen.columns, 80u);
  EXPECT_EQ(screen.rows, 25u);
  EXPECT_EQ(screen.cells, std::vector<u16>(2000, 0x0720));
  bench.poke16(0xb8002, 0x0741);
  const Frame frame = bench.picture();
  EXPECT_EQ(frame.width, 720u);
  EXPECT_EQ(frame.height, 400u);
  EXPECT_EQ(frame.pixels[9], 0xAAAAAAu);
  EXPECT_EQ(frame.pixels[10], 0u);
}

TEST(TextScreen, TellsTheKernel) {
  std::vector<u8> page(4096);
  describe_text_mode(page);
  EXPECT_EQ(page[0x06], 3);   // orig_video_mode
  EXPECT_EQ(page[0x07], 80);  // orig_video_cols
  EXPECT_EQ(page[0x0f], 1);   // orig_video_isVGA
}

}  // namespace
}  // namespace emu
