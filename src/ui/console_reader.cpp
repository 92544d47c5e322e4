// SPDX-License-Identifier: Apache-2.0
#include "ui/console_reader.h"

#include <bit>
#include <cstdlib>

#include "base/bits.h"

namespace emu {
namespace {

constexpr u32 kCellWidth = 8, kCellHeight = 16;
constexpr std::size_t kGlyphs = 256;
constexpr u32 kMostColumns = 512, kMostRows = 256;
constexpr u32 kMostDifferentDots = 16;    // two rows: a cursor under a blank is still read
constexpr u32 kLeastReadPerMille = 970;   // of the cells that show something
constexpr std::size_t kMostKnown = 4096;  // pictures would fill memory with their cells

// The VGA's sixteen colours by attribute (IBM VGA technical reference, default palette).
constexpr std::array<u32, 16> kPalette{0x000000, 0x0000AA, 0x00AA00, 0x00AAAA, 0xAA0000, 0xAA00AA,
                                       0xAA5500, 0xAAAAAA, 0x555555, 0x5555FF, 0x55FF55, 0x55FFFF,
                                       0xFF5555, 0xFF55FF, 0xFFFF55, 0xFFFFFF};

u32 nearest_attribute(u32 color) {
  u32 best = 0;
  int least = 1 << 30;
  for (u32 i = 0; i < kPalette.size(); ++i) {
    int distance = 0;
    for (const u32 shift : {16u, 8u, 0u}) {
      distance += std::abs(static_cast<int>(color >> shift & 255) -
                           static_cast<int>(kPalette[i] >> shift & 255));
    }
    if (distance < least) {
      least = distance;
      best = i;
    }
  }
  return best;
}

}  // namespace

ConsoleReader::ConsoleReader(std::span<const u8> font) {
  if (font.size() != kGlyphs * kCellHeight) return;
  // From space on first: of equal glyphs the ordinary character is meant.
  for (std::size_t i = 0; i < kGlyphs; ++i) {
    const std::size_t code = (i + ' ') % kGlyphs;
    add_forms(static_cast<u8>(code), font.subspan(code * kCellHeight, kCellHeight));
  }
}

// The glyph itself, then: without its fifth column; that one row lower; one column to the right;
// without its outer columns.
void ConsoleReader::add_forms(u8 character, std::span<const u8> glyph) {
  constexpr std::size_t kForms = 5;
  std::array<std::array<u8, kCellHeight>, kForms> forms{};
  for (std::size_t y = 0; y < kCellHeight; ++y) {
    const u8 row = glyph[y];
    const u8 narrow = static_cast<u8>((row & 0xF0) | (row & 0x07) << 1);
    forms[0][y] = row;
    forms[1][y] = narrow;
    if (y + 1 < kCellHeight) forms[2][y + 1] = narrow;
    forms[3][y] = static_cast<u8>(row >> 1);
    forms[4][y] = row & 0x7E;
  }
  for (const auto& form : forms) {
    forms_.push_back({{load_be<u64>(form.data()), load_be<u64>(form.data() + 8)}, character});
  }
}

ConsoleReader::Cell ConsoleReader::cell_at(const Frame& frame, u32 column, u32 row) {
  Cell cell;
  bool has_foreground = false;
  for (u32 y = 0; y < kCellHeight; ++y) {
    const std::size_t line = std::size_t{row * kCellHeight + y} * frame.width;
    const u32* const pixels = &frame.pixels[line + column * kCellWidth];
    if (y == 0) cell.background = pixels[kCellWidth - 1];  // glyphs leave the last column empty
    u64 dots = 0;
    for (u32 x = 0; x < kCellWidth; ++x) {
      const bool is_set = pixels[x] != cell.background;
      dots = dots << 1 | (is_set ? 1 : 0);
      if (!is_set) continue;
      if (!has_foreground) cell.foreground = pixels[x];
      has_foreground = true;
      cell.has_two_colors = cell.has_two_colors && pixels[x] == cell.foreground;
    }
    u64& half = cell.dots[y / 8];
    half = half << 8 | dots;
  }
  return cell;
}

ConsoleReader::Match ConsoleReader::match(const Dots& dots) {
  if (const auto found = known_.find(dots); found != known_.end()) return found->second;
  Match best{' ', ~0u};
  for (const Form& form : forms_) {
    const u32 different = static_cast<u32>(std::popcount(form.dots[0] ^ dots[0]) +
                                           std::popcount(form.dots[1] ^ dots[1]));
    if (different < best.different_dots) best = {form.character, different};
  }
  if (known_.size() >= kMostKnown) known_.clear();
  known_.emplace(dots, best);
  return best;
}

bool ConsoleReader::read(const Frame& frame, TextScreen& screen) {
  const u32 columns = frame.width / kCellWidth;
  const u32 rows = frame.height / kCellHeight;
  if (forms_.empty() || columns == 0 || rows == 0 || columns > kMostColumns || rows > kMostRows) {
    return false;
  }
  screen = TextScreen{};
  screen.columns = columns;
  screen.rows = rows;
  screen.cells.reserve(std::size_t{columns} * rows);
  u32 shown = 0;
  u32 read = 0;
  for (u32 row = 0; row < rows; ++row) {
    for (u32 column = 0; column < columns; ++column) {
      const Cell cell = cell_at(frame, column, row);
      const Match found = match(cell.dots);
      const bool is_blank = cell.dots == Dots{};
      const bool fits = cell.has_two_colors && found.different_dots <= kMostDifferentDots;
      shown += is_blank ? 0 : 1;
      read += !is_blank && fits ? 1 : 0;
      const u32 attribute = nearest_attribute(cell.foreground) | nearest_attribute(cell.background)
                                                                     << 4;
      const u32 character = fits ? found.character : u32{'?'};
      screen.cells.push_back(static_cast<u16>(character | attribute << 8));
    }
    // A picture is recognised as one after its first rows; do not look at it all.
    if (shown > columns && read * u64{1000} < shown * u64{kLeastReadPerMille}) return false;
  }
  return read * u64{1000} >= shown * u64{kLeastReadPerMille};
}

}  // namespace emu
