// SPDX-License-Identifier: Apache-2.0
// The terminal display's parts: typed bytes to keys, screens to escape sequences.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "ui/terminal/ansi_painter.h"
#include "ui/terminal/terminal_keys.h"

namespace emu {
namespace {

// "ctrl+shift+code" for each stroke, codes in hexadecimal.
std::string strokes_of(std::string_view typed) {
  std::vector<KeyStroke> strokes;
  append_key_strokes({reinterpret_cast<const u8*>(typed.data()), typed.size()}, strokes);
  std::string text;
  for (const KeyStroke& stroke : strokes) {
    text += fmt::format("{}{}{}{:x} ", stroke.ctrl ? "ctrl+" : "", stroke.alt ? "alt+" : "",
                        stroke.shift ? "shift+" : "", stroke.code);
  }
  return text;
}

TEST(TerminalKeys, Characters) {
  EXPECT_EQ(strokes_of("az09"), "4 1d 27 26 ");
  EXPECT_EQ(strokes_of("A!)?"), "shift+4 shift+1e shift+27 shift+38 ");
  EXPECT_EQ(strokes_of("-\\;/"), "2d 31 33 38 ");
  EXPECT_EQ(strokes_of("\r\t\x7f "), "28 2b 2a 2c ");
}

TEST(TerminalKeys, ControlAndAlt) {
  EXPECT_EQ(strokes_of("\x03\x1a"), "ctrl+6 ctrl+1d ");
  EXPECT_EQ(strokes_of("\x1b"), "29 ");
  EXPECT_EQ(strokes_of("\x1b"
                       "x"),
            "alt+1b ");
  EXPECT_EQ(strokes_of("\x1b\x1b"), "29 29 ");
}

TEST(TerminalKeys, Sequences) {
  EXPECT_EQ(strokes_of("\x1b[A\x1bOB"), "52 51 ");
  EXPECT_EQ(strokes_of("\x1b[3~\x1b[5~"), "4c 4b ");
  EXPECT_EQ(strokes_of("\x1bOP\x1b[15~\x1b[24~"), "3a 3e 45 ");
  EXPECT_EQ(strokes_of("\x1b[1;5C"), "ctrl+4f ");
  EXPECT_EQ(strokes_of("\x1b[Z"), "shift+2b ");
  EXPECT_EQ(strokes_of("\x1b[99~q"), "14 ") << "unknown ones are skipped";
}

TEST(TerminalKeys, AnyBytesAreHarmless) {
  u32 seed = 1;
  for (int round = 0; round < 2000; ++round) {
    std::string bytes;
    for (int i = 0; i < 12; ++i) {
      seed = seed * 1664525 + 1013904223;
      bytes += "\x1b[;O0~A9\xC3\x01Zz"[seed >> 24 & 11];
    }
    strokes_of(bytes);
  }
}

TextScreen small_screen() {
  TextScreen screen;
  screen.columns = 3;
  screen.rows = 2;
  screen.cells = {0x1F41, 0x1F42, 0x07C9, 0x0720, 0x0720, 0x0720};
  screen.cursor_column = 1;
  screen.cursor_row = 1;
  return screen;
}

TEST(AnsiPainter, PaintsOnlyChanges) {
  AnsiPainter painter;
  TextScreen screen = small_screen();
  EXPECT_EQ(painter.paint_text(screen, {}),
            "\x1b[?25l\x1b[0m\x1b[2J"
            "\x1b[1;1H\x1b[97;44mAB\x1b[37;40m╔"
            "\x1b[2;1H   "
            "\x1b[2;2H\x1b[?25h");
  EXPECT_EQ(painter.paint_text(screen, {}), "\x1b[?25l\x1b[2;2H\x1b[?25h");
  screen.cells[1] = 0x0443;  // red
  screen.cursor_column = -1;
  EXPECT_EQ(painter.paint_text(screen, {}), "\x1b[?25l\x1b[1;2H\x1b[31;40mC");
}

TEST(AnsiPainter, CutsOffWhatDoesNotFit) {
  AnsiPainter painter;
  TextScreen screen = small_screen();
  EXPECT_EQ(painter.paint_text(screen, {2, 1}).find("AB"), std::string::npos) << "cursor's row";
  screen.cursor_row = -1;
  const std::string out = painter.paint_text(screen, {2, 1});
  EXPECT_NE(out.find("AB"), std::string::npos);
  EXPECT_EQ(out.find("╔"), std::string::npos);
  EXPECT_EQ(out.find("\x1b[2;"), std::string::npos);
}

TEST(AnsiPainter, PicturesAreHalfBlocks) {
  AnsiPainter painter;
  Frame frame;
  frame.width = 2;
  frame.height = 4;
  frame.pixels = {0xFF0000, 0xFF0000, 0x0000FF, 0x0000FF, 0, 0x020202, 0, 0};
  const std::string out = painter.paint_picture(frame, {80, 2});
  EXPECT_NE(out.find("\x1b[38;2;255;0;0;48;2;0;0;255m▀▀"), std::string::npos) << out;
  EXPECT_NE(out.find("\x1b[38;2;2;2;2;48;2;0;0;0m▀"), std::string::npos) << out;
  frame.width = frame.height = 1;
  frame.pixels = {0xFFFFFF};
  EXPECT_NE(painter.paint_picture(frame, {200, 60}).find("255;255;255"), std::string::npos);
}

}  // namespace
}  // namespace emu
