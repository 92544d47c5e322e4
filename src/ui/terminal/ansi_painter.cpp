// SPDX-License-Identifier: Apache-2.0
#include "ui/terminal/ansi_painter.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "ui/terminal/code_page_437.h"

namespace emu {
namespace {

constexpr u8 kUpperHalfBlock = 0xDF;

// VGA counts blue, green, red; ANSI red, green, blue.
constexpr u32 ansi_color(u32 vga) {
  return (vga & 2) | (vga & 1) << 2 | (vga & 4) >> 2;
}
constexpr u32 foreground_sgr(u32 vga) {
  return ansi_color(vga) + ((vga & 8) != 0 ? 90 : 30);
}

// The mean of the pixels in [x0, x1) x [y0, y1), of which there is at least one.
u32 mean_color(const Frame& frame, u32 x0, u32 x1, u32 y0, u32 y1) {
  u64 red = 0, green = 0, blue = 0;
  for (u32 y = y0; y < y1; ++y) {
    for (u32 x = x0; x < x1; ++x) {
      const u32 pixel = frame.pixels[std::size_t{y} * frame.width + x];
      red += pixel >> 16 & 255;
      green += pixel >> 8 & 255;
      blue += pixel & 255;
    }
  }
  const u64 count = u64{x1 - x0} * (y1 - y0);
  return static_cast<u32>((red / count) << 16 | (green / count) << 8 | blue / count);
}

// The part of `size` pixels that cell `i` of `cells` stands for; at least one pixel.
struct Run {
  u32 from, to;
};
Run run_of(u32 i, u32 cells, u32 size) {
  const u32 from = std::min(static_cast<u32>(u64{i} * size / cells), size - 1);
  return {from, std::max(static_cast<u32>(u64{i + 1} * size / cells), from + 1)};
}

}  // namespace

void AnsiPainter::begin(u32 columns, u32 rows, bool is_picture, TerminalSize terminal,
                        std::string& out) {
  at_row_ = ~0u;
  has_colors_ = false;
  out += "\x1b[?25l";
  const bool same = !shown_.empty() && columns == columns_ && rows == rows_ &&
                    is_picture == is_picture_ && terminal == terminal_;
  if (same) return;
  columns_ = columns;
  rows_ = rows;
  is_picture_ = is_picture;
  terminal_ = terminal;
  shown_.assign(std::size_t{columns} * rows, Cell{.foreground = ~0u});
  out += "\x1b[0m\x1b[2J";
}

void AnsiPainter::set_colors(const Cell& cell, std::string& out) {
  if (has_colors_ && colors_.foreground == cell.foreground &&
      colors_.background == cell.background) {
    return;
  }
  has_colors_ = true;
  colors_ = cell;
  const auto into = std::back_inserter(out);
  if (!is_picture_) {
    fmt::format_to(into, "\x1b[{};{}m", foreground_sgr(cell.foreground),
                   foreground_sgr(cell.background) + 10);
    return;
  }
  const auto component = [](u32 color, u32 shift) { return color >> shift & 255; };
  const u32 f = cell.foreground;
  const u32 b = cell.background;
  fmt::format_to(into, "\x1b[38;2;{};{};{};48;2;{};{};{}m", component(f, 16), component(f, 8),
                 component(f, 0), component(b, 16), component(b, 8), component(b, 0));
}

void AnsiPainter::put(u32 column, u32 row, const Cell& cell, std::string& out) {
  Cell& shown = shown_[std::size_t{row} * columns_ + column];
  if (shown == cell) return;
  shown = cell;
  if (column != at_column_ || row != at_row_) {
    fmt::format_to(std::back_inserter(out), "\x1b[{};{}H", row + 1, column + 1);
  }
  set_colors(cell, out);
  append_code_page_437(out, cell.character);
  at_row_ = row;
  at_column_ = column + 1;
}

namespace {

// The row that a viewer wants to see above all.
u32 row_of_interest(const TextScreen& screen) {
  if (screen.cursor_row >= 0) return std::min(static_cast<u32>(screen.cursor_row), screen.rows - 1);
  for (std::size_t i = screen.cells.size(); i > 0; --i) {
    const u8 character = static_cast<u8>(screen.cells[i - 1]);
    if (character != ' ' && character != 0) return static_cast<u32>((i - 1) / screen.columns);
  }
  return 0;
}

}  // namespace

std::string AnsiPainter::paint_text(const TextScreen& screen, TerminalSize terminal) {
  std::string out;
  const u32 columns = std::min(screen.columns, terminal.columns);
  const u32 rows = std::min(screen.rows, terminal.rows);
  begin(columns, rows, false, terminal, out);
  if (columns == 0 || rows == 0) return out;
  const u32 last = std::max(row_of_interest(screen), rows - 1);
  const u32 first = last + 1 - rows;
  for (u32 row = 0; row < rows; ++row) {
    for (u32 column = 0; column < columns; ++column) {
      const u32 cell = screen.cells[std::size_t{first + row} * screen.columns + column];
      put(column, row, {cell >> 8 & 15, cell >> 12 & 7, static_cast<u8>(cell)}, out);
    }
  }
  const u32 cursor_column = static_cast<u32>(screen.cursor_column);
  const u32 cursor_row = static_cast<u32>(screen.cursor_row) - first;
  if (cursor_column < columns && cursor_row < rows) {
    fmt::format_to(std::back_inserter(out), "\x1b[{};{}H\x1b[?25h", cursor_row + 1,
                   cursor_column + 1);
  }
  return out;
}

std::string AnsiPainter::paint_picture(const Frame& frame, TerminalSize terminal) {
  std::string out;
  if (frame.width == 0 || frame.height == 0) return out;
  // A half character is about as wide as high: keep the picture's proportions in those units.
  const u64 most_columns = u64{terminal.rows} * 2 * frame.width / frame.height;
  const u32 columns = static_cast<u32>(std::clamp<u64>(most_columns, 1, terminal.columns));
  const u64 halves = u64{columns} * frame.height / frame.width;
  const u32 rows = static_cast<u32>(std::clamp<u64>(halves / 2, 1, terminal.rows));
  begin(columns, rows, true, terminal, out);
  for (u32 row = 0; row < rows; ++row) {
    const Run upper = run_of(row * 2, rows * 2, frame.height);
    const Run lower = run_of(row * 2 + 1, rows * 2, frame.height);
    for (u32 column = 0; column < columns; ++column) {
      const Run x = run_of(column, columns, frame.width);
      const u32 above = mean_color(frame, x.from, x.to, upper.from, upper.to);
      const u32 below = mean_color(frame, x.from, x.to, lower.from, lower.to);
      put(column, row, {above, below, kUpperHalfBlock}, out);
    }
  }
  return out;
}

}  // namespace emu
