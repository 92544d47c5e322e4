// SPDX-License-Identifier: Apache-2.0
// A guest's screen as escape sequences for a terminal, only what changed.
// Source: ECMA-48 (CUP, SGR); xterm "ctlseqs" (bright and direct colours, DECTCEM).
#pragma once

#include <string>

#include "devices/ports/display.h"
#include "ui/terminal/raw_terminal.h"

namespace emu {

class AnsiPainter {
 public:
  // What to write so that the terminal shows `screen`. Of a screen that does not fit, the
  // upper left part that has the cursor's row (without a cursor: the last row that is not blank).
  [[nodiscard]] std::string paint_text(const TextScreen& screen, TerminalSize terminal);
  // The same for a picture: two pixels to a character, shrunk to fit, in direct colours.
  [[nodiscard]] std::string paint_picture(const Frame& frame, TerminalSize terminal);
  // The terminal's contents are unknown: paint everything next time.
  void forget() { shown_.clear(); }

 private:
  // One character cell of the terminal: code page 437 (or half blocks), and SGR colours.
  struct Cell {
    u32 foreground = 0;
    u32 background = 0;
    u8 character = ' ';
    bool operator==(const Cell&) const = default;
  };
  // Starts a page of this kind and size; clears the terminal if it was another.
  void begin(u32 columns, u32 rows, bool is_picture, TerminalSize terminal, std::string& out);
  void put(u32 column, u32 row, const Cell& cell, std::string& out);
  void set_colors(const Cell& cell, std::string& out);

  std::vector<Cell> shown_;
  u32 columns_ = 0;
  u32 rows_ = 0;
  bool is_picture_ = false;
  TerminalSize terminal_;
  // where the terminal's cursor is and how it writes, within one paint
  u32 at_column_ = ~0u;
  u32 at_row_ = ~0u;
  bool has_colors_ = false;
  Cell colors_;
};

}  // namespace emu
