// SPDX-License-Identifier: Apache-2.0
// Reading text off a picture.
#include "ui/console_reader.h"

#include <gtest/gtest.h>

#include <random>

namespace emu {
namespace {

// Glyphs that differ from each other in many dots, with an empty right column; space is empty.
std::vector<u8> made_up_font() {
  std::mt19937 random(7);
  std::vector<u8> font(4096);
  for (u8& row : font) row = static_cast<u8>(random() & 0xFE);
  std::fill_n(font.begin() + ' ' * 16, 16, u8{0});
  return font;
}

class Console {
 public:
  Console(u32 columns, u32 rows) {
    frame.width = columns * 8;
    frame.height = rows * 16;
    frame.pixels.resize(std::size_t{frame.width} * frame.height);
  }
  void print(u32 column, u32 row, std::string_view text, u32 front, u32 back) {
    for (const char c : text) {
      for (u32 y = 0; y < 16; ++y) {
        const u32 dots = font[static_cast<u8>(c) * std::size_t{16} + y];
        for (u32 x = 0; x < 8; ++x)
          dot(column * 8 + x, row * 16 + y, dots << x & 0x80 ? front : back);
      }
      ++column;
    }
  }
  void dot(u32 x, u32 y, u32 color) { frame.pixels[std::size_t{y} * frame.width + x] = color; }

  std::vector<u8> font = made_up_font();
  Frame frame;
};

TEST(ConsoleReader, ReadsTextAndColours) {
  Console console(10, 2);
  console.print(1, 1, "Login:", 0xFFFFFF, 0x0000AA);
  console.dot(12, 20, 0xFFFFFF);  // another font's dot
  ConsoleReader reader(console.font);
  TextScreen screen;
  ASSERT_TRUE(reader.read(console.frame, screen));
  EXPECT_EQ(screen.columns, 10u);
  EXPECT_EQ(screen.rows, 2u);
  std::string text;
  for (const u16 cell : screen.cells) text += static_cast<char>(cell);
  EXPECT_EQ(text, "           Login:   ");
  EXPECT_EQ(screen.cells[12], 0x1F00 | 'o');
}

TEST(ConsoleReader, RefusesPictures) {
  Console console(40, 20);
  std::mt19937 random(1);
  for (u32& pixel : console.frame.pixels) pixel = (random() & 1) != 0 ? 0xFFFFFF : 0;
  ConsoleReader reader(console.font);
  TextScreen screen;
  EXPECT_FALSE(reader.read(console.frame, screen));
  for (u32& pixel : console.frame.pixels) pixel = static_cast<u32>(random()) & 0xFFFFFF;
  EXPECT_FALSE(reader.read(console.frame, screen)) << "many colours";
}

TEST(ConsoleReader, NeedsAFontAndACell) {
  ConsoleReader without_font({});
  TextScreen screen;
  Console console(4, 4);
  EXPECT_FALSE(without_font.read(console.frame, screen));
  ConsoleReader reader(console.font);
  EXPECT_FALSE(reader.read(Frame{}, screen));
}

}  // namespace
}  // namespace emu
