// SPDX-License-Identifier: Apache-2.0
// Reads the text off a graphical console: a picture of 8x16 characters, as Linux draws its console
// once a display driver is loaded. Then a terminal, or a script that waits for a word, can go on
// as in text mode.
// How: each cell's dots are looked up in the PC font, the most similar glyph wins. Linux's font is
// the same design with seven columns where some of the BIOS's glyphs have eight, so narrowed and
// shifted forms count too. A picture that is no text differs in many dots, and is refused.
// Limits: characters of another size, and glyphs outside code page 437.
#pragma once

#include <array>
#include <map>
#include <span>

#include "devices/ports/display.h"

namespace emu {

class ConsoleReader {
 public:
  // `font` is 256 glyphs of 16 rows, a byte each; anything else reads nothing.
  explicit ConsoleReader(std::span<const u8> font);

  // Fills `screen` with what `frame` says, colours as VGA attributes, without a cursor; false, and
  // `screen` is unspecified, if the frame is no text.
  [[nodiscard]] bool read(const Frame& frame, TextScreen& screen);

 private:
  using Dots = std::array<u64, 2>;  // rows 0-7 and 8-15
  struct Cell {
    Dots dots{};
    u32 foreground = 0, background = 0;
    bool has_two_colors = true;
  };
  struct Match {
    u8 character = ' ';
    u32 different_dots = 0;
  };
  [[nodiscard]] static Cell cell_at(const Frame& frame, u32 column, u32 row);
  [[nodiscard]] Match match(const Dots& dots);

  void add_forms(u8 character, std::span<const u8> glyph);

  struct Form {
    Dots dots;
    u8 character;
  };
  std::vector<Form> forms_;
  std::map<Dots, Match> known_;  // what was looked up before
};

}  // namespace emu
