// SPDX-License-Identifier: Apache-2.0
// Drawing one scan line of the VGA's picture.
// Source: IBM VGA technical reference, attribute controller and graphics controller.
#include <algorithm>

#include "base/bits.h"
#include "devices/video/vga_renderer.h"

namespace emu {

using namespace vga;
using Kind = ScanOut::Kind;

namespace {

// Byte i of entry b is bit 7-i of b: eight pixels of one plane.
constexpr std::array<u64, 256> make_spread() {
  std::array<u64, 256> table{};
  for (u32 value = 0; value < 256; ++value) {
    for (u32 i = 0; i < 8; ++i) table[value] |= u64{value >> (7 - i) & 1} << (i * 8);
  }
  return table;
}
constexpr std::array<u64, 256> kSpread = make_spread();

// Byte i of the result is the 16-colour pixel i of a word of four planes.
u64 planar_pixels(u32 word) {
  return kSpread[word & 0xFF] | kSpread[word >> 8 & 0xFF] << 1 | kSpread[word >> 16 & 0xFF] << 2 |
         kSpread[word >> 24] << 3;
}

// Eight two-bit pixels from planes 0 and 1, the upper two bits from planes 2 and 3.
u64 cga_pixels(u32 word) {
  u64 pixels = 0;
  for (u32 i = 0; i < 8; ++i) {
    const u32 shift = (i / 4) * 8 + 6 - (i % 4) * 2;
    const u32 value = (word >> shift & 3) | (word >> (shift + 16) & 3) << 2;
    pixels |= u64{value} << (i * 8);
  }
  return pixels;
}

// A five- or six-bit component fills eight bits by repeating its upper bits.
constexpr u32 from5(u32 v) {
  return (v & 31) << 3 | (v & 31) >> 2;
}
constexpr u32 from6(u32 v) {
  return (v & 63) << 2 | (v & 63) >> 4;
}
constexpr u32 from555(u32 v) {
  return from5(v >> 10) << 16 | from5(v >> 5) << 8 | from5(v);
}
constexpr u32 from565(u32 v) {
  return from5(v >> 11) << 16 | from6(v >> 5) << 8 | from5(v);
}

}  // namespace

u32 VgaRenderer::load_word(u32 offset) const {
  return vram_.word(offset & mode_.memory_mask);
}

void VgaRenderer::draw_line(u32 y, std::span<u32> out) {
  switch (mode_.kind) {
    case Kind::kBlank:
      std::ranges::fill(out, 0u);
      break;
    case Kind::kText:
      draw_text_line(y, out);
      break;
    case Kind::kPlanar:
    case Kind::kCga:
    case Kind::kPacked:
      draw_indexed_line(y, out);
      break;
    default:
      draw_direct_line(y, out);
      break;
  }
}

void VgaRenderer::draw_cursor(u32 y, std::span<u32> out) const {
  if (y < cursor_.y || y - cursor_.y >= cursor_.size) return;
  const u64 mask = cursor_.mask[y - cursor_.y], color = cursor_.color[y - cursor_.y];
  for (u32 i = 0; i < cursor_.size && cursor_.x + i < out.size(); ++i) {
    u32& pixel = out[cursor_.x + i];
    const bool masked = (mask >> (63 - i) & 1) != 0;
    if ((color >> (63 - i) & 1) != 0) {
      pixel = masked ? cursor_.foreground : cursor_.background;
    } else if (masked) {
      pixel ^= 0xFFFFFF;
    }
  }
}

void VgaRenderer::place_pixels(bool below_split, std::span<u32> out) const {
  const u32 pan = below_split && mode_.pan_stops_at_split ? 0 : mode_.pan_pixels;
  const u32* from = pixels_.data() + pan;
  if (mode_.pixel_repeat == 1) {
    std::copy_n(from, out.size(), out.begin());
    return;
  }
  for (std::size_t x = 0; x < out.size(); ++x) out[x] = from[x / 2];
}

void VgaRenderer::draw_text_line(u32 y, std::span<u32> out) {
  const LineSource source = line_source(mode_, y);
  const std::size_t row_cells = mode_.columns + std::size_t{1};
  pixels_.resize(row_cells * mode_.cell_width);
  const std::span<const Cell> cells =
      std::span(cells_).subspan(row_of_line_[y] * row_cells, row_cells);
  u32* pixel = pixels_.data();
  for (const Cell& cell : cells) {
    const u32 dots = text_dots(cell, source.scan);
    const bool blinks = (registers_.attr(kAttrMode) & kAttrModeBlink) != 0;
    const u32 front = colors_.planar[cell.attribute & 15];
    const u32 back = colors_.planar[cell.attribute >> 4 & (blinks ? 7 : 15)];
    for (u32 x = 0; x < mode_.cell_width; ++x) *pixel++ = (dots << x & 0x100) != 0 ? front : back;
  }
  place_pixels(source.below_split, out);
}

// The nine dots of a cell on one scan line, the leftmost in bit 8.
u32 VgaRenderer::text_dots(const Cell& cell, u32 scan) const {
  const u32 cursor_first = registers_.crtc(kCrtcCursorStart) & 0x1F;
  const u32 cursor_last = registers_.crtc(kCrtcCursorEnd) & 0x1F;
  const bool cursor_on = (registers_.crtc(kCrtcCursorStart) & kCursorOff) == 0;
  if (cell.has_cursor && cursor_on && scan >= cursor_first && scan <= cursor_last) return 0x1FF;
  if (cell.foreground_hidden) return 0;
  const bool underlined = (cell.attribute & 7) == 1;
  if (underlined && scan == (registers_.crtc(kCrtcUnderline) & 0x1Fu)) return 0x1FF;
  const u32 font = (cell.attribute & 8) != 0 ? 1 : 0;
  u32 dots = u32{fonts_[font * std::size_t{8192} + cell.character * std::size_t{32} + scan]} << 1;
  const bool joins = (registers_.attr(kAttrMode) & kAttrModeLineGraphics) != 0;
  if (joins && (cell.character & 0xE0) == 0xC0) dots |= dots >> 1 & 1;
  return dots;
}

void VgaRenderer::draw_indexed_line(u32 y, std::span<u32> out) {
  const LineSource source = line_source(mode_, y);
  unpack_pixels(source.offset, row_bytes() / 4);
  place_pixels(source.below_split, out);
}

void VgaRenderer::unpack_pixels(u32 offset, u32 words) {
  if (mode_.kind == Kind::kPacked) {
    pixels_.resize(words * std::size_t{4});
    for (u32 i = 0; i < words; ++i) {
      const u32 word = load_word(offset + i * 4);
      for (u32 x = 0; x < 4; ++x) pixels_[i * 4 + x] = colors_.packed[word >> (x * 8) & 0xFF];
    }
    return;
  }
  pixels_.resize(words * std::size_t{8});
  for (u32 i = 0; i < words; ++i) {
    const u32 word = load_word(offset + i * 4);
    const u64 pixels = mode_.kind == Kind::kPlanar ? planar_pixels(word) : cga_pixels(word);
    for (u32 x = 0; x < 8; ++x) pixels_[i * 8 + x] = colors_.planar[pixels >> (x * 8) & 15];
  }
}

void VgaRenderer::draw_direct_line(u32 y, std::span<u32> out) const {
  const u32 offset = line_source(mode_, y).offset;
  const std::span<const u8> row = vram_.bytes(offset, row_bytes());
  if (row.empty()) {
    std::ranges::fill(out, 0u);
    return;
  }
  const u8* from = row.data();
  switch (mode_.kind) {
    case Kind::kHigh15:
      for (u32& pixel : out) pixel = from555(load_le<u16>(from)), from += 2;
      break;
    case Kind::kHigh16:
      for (u32& pixel : out) pixel = from565(load_le<u16>(from)), from += 2;
      break;
    case Kind::kTrue24:
      for (u32& pixel : out) {
        pixel = load_le<u16>(from) | u32{from[2]} << 16;
        from += 3;
      }
      break;
    default:
      for (u32& pixel : out) pixel = load_le<u32>(from) & 0xFFFFFF, from += 4;
      break;
  }
}

}  // namespace emu
