// SPDX-License-Identifier: Apache-2.0
#include "devices/video/cirrus_blitter.h"

#include <algorithm>

namespace emu {

using namespace cirrus;

namespace {

constexpr u32 kMostRowBytes = 8192;  // GR20 and GR21 hold 13 bits

// GR32: the sixteen raster operations.
u8 combine(u8 rop, u8 s, u8 d) {
  switch (rop) {
    case 0x00:
      return 0;
    case 0x05:
      return s & d;
    case 0x06:
      return d;
    case 0x09:
      return s & static_cast<u8>(~d);
    case 0x0b:
      return static_cast<u8>(~d);
    case 0x0e:
      return 0xff;
    case 0x50:
      return static_cast<u8>(~s) & d;
    case 0x59:
      return s ^ d;
    case 0x6d:
      return s | d;
    case 0x90:
      return static_cast<u8>(~(s & d));
    case 0x95:
      return static_cast<u8>(~(s ^ d));
    case 0xad:
      return s | static_cast<u8>(~d);
    case 0xd0:
      return static_cast<u8>(~s);
    case 0xd6:
      return static_cast<u8>(~s) | d;
    case 0xda:
      return static_cast<u8>(~(s | d));
    default:  // 0Dh
      return s;
  }
}

}  // namespace

u32 CirrusBlitter::gather(u8 index, unsigned bytes) const {
  u32 value = 0;
  for (unsigned i = 0; i < bytes; ++i) value |= u32{gr_[index + i]} << 8 * i;
  return value;
}

CirrusBlitter::Blit CirrusBlitter::describe() const {
  Blit b{};
  b.width = (gather(0x20, 2) & 0x1fff) + 1;
  b.height = (gather(0x22, 2) & 0x7ff) + 1;
  b.to_pitch = static_cast<i32>(gather(0x24, 2) & 0x1fff);
  b.from_pitch = static_cast<i32>(gather(0x26, 2) & 0x1fff);
  b.to = gather(0x28, 3) & (kVramBytes - 1);
  b.from = gather(0x2c, 3) & (kVramBytes - 1);
  b.mode = gr_[kBlitMode];
  b.extensions = gr_[kBlitModeExtensions];
  b.rop = gr_[kBlitRop];
  b.pixel_bytes = (b.mode >> 4 & 3u) + 1;
  b.background = gr_[0x00] | u32{gr_[0x10]} << 8 | u32{gr_[0x12]} << 16 | u32{gr_[0x14]} << 24;
  b.foreground = gr_[0x01] | u32{gr_[0x11]} << 8 | u32{gr_[0x13]} << 16 | u32{gr_[0x15]} << 24;
  if (b.backwards()) {
    b.to_pitch = -b.to_pitch;
    b.from_pitch = -b.from_pitch;
  }
  return b;
}

void CirrusBlitter::reset() {
  source_.clear();
  rows_left_ = 0;
}

void CirrusBlitter::transfer(StateIo& io) {
  io.section("cirrus-blitter", 1, [&] {
    io.field(1, "source", source_, kMostRowBytes);
    io.field(2, "rows_left", rows_left_);
    io.check(rows_left_ <= 2048, "a blit's rows");
  });
}

// Rows of monochrome bits end at a byte, or at a doubleword if GR33 says so; others at a
// doubleword.
u32 CirrusBlitter::system_row_bytes(const Blit& blit) {
  if (blit.patterned())
    return blit.expands() ? 8 : 64 * (blit.pixel_bytes == 3 ? 4 : blit.pixel_bytes);
  if (!blit.expands()) return (blit.width + 3) & ~3u;
  const u32 pixels = blit.width / blit.pixel_bytes;
  if ((blit.extensions & kDwordRows) != 0) return std::max((pixels + 31) / 32 * 4, 4u);
  return std::max((pixels + 7) / 8, 1u);
}

void CirrusBlitter::start() {
  const Blit blit = describe();
  reset();
  if ((blit.mode & kToSystem) != 0) return;
  row_.resize(blit.width);
  drawn_.resize(blit.width);
  if ((blit.mode & kFromSystem) != 0) {
    rows_left_ = blit.patterned() ? 1 : blit.height;
    return;
  }
  std::vector<u8> source;
  if (blit.patterned()) {
    source.resize(system_row_bytes(blit));
    fetch(blit.from & ~static_cast<u32>(source.size() - 1), source, false);
    for (u32 row = 0; row < blit.height; ++row) draw_row(blit, row, source);
    return;
  }
  // Monochrome sources follow each other without gaps, unless they have a pitch.
  const u32 bytes = blit.expands() ? (blit.width / blit.pixel_bytes + 7) / 8 : blit.width;
  const i32 pitch =
      blit.expands() && blit.from_pitch == 0 ? static_cast<i32>(bytes) : blit.from_pitch;
  source.resize(std::max(bytes, 1u));
  for (u32 row = 0; row < blit.height; ++row) {
    fetch(blit.from + static_cast<u32>(pitch * static_cast<i32>(row)), source, blit.backwards());
    draw_row(blit, row, source);
  }
}

void CirrusBlitter::source(u8 byte) {
  const Blit blit = describe();
  source_.push_back(byte);
  if (source_.size() < system_row_bytes(blit)) return;
  row_.resize(blit.width);
  drawn_.resize(blit.width);
  if (blit.patterned()) {
    for (u32 row = 0; row < blit.height; ++row) draw_row(blit, row, source_);
    return reset();
  }
  if (rows_left_ > blit.height) rows_left_ = blit.height;
  draw_row(blit, blit.height - rows_left_, source_);
  source_.clear();
  --rows_left_;
}

// Bytes from `from` on, or down to it if `backwards`; addresses wrap at the end of video memory.
void CirrusBlitter::fetch(u32 from, std::span<u8> out, bool backwards) const {
  u32 at = backwards ? from - static_cast<u32>(out.size()) + 1 : from;
  for (std::size_t done = 0; done < out.size();) {
    at &= kVramBytes - 1;
    const std::size_t n = std::min<std::size_t>(out.size() - done, kVramBytes - at);
    std::ranges::copy(vram_.bytes(at, n), out.begin() + static_cast<std::ptrdiff_t>(done));
    done += n;
    at += static_cast<u32>(n);
  }
}

void CirrusBlitter::draw_row(const Blit& blit, u32 row, std::span<const u8> source) {
  std::ranges::fill(drawn_, u8{1});
  if (blit.patterned()) {
    const u32 line = (blit.from + row) & 7;
    if (blit.expands() && (blit.extensions & kSolid) != 0) {
      for (std::size_t at = 0; at < row_.size(); at += blit.pixel_bytes)
        put_pixel(at, blit.foreground, blit.pixel_bytes);
    } else if (blit.expands()) {
      expand_row(blit, source.subspan(line, 1), true);
    } else {
      pattern_row(blit, source.subspan(line * source.size() / 8, source.size() / 8));
    }
  } else if (blit.expands()) {
    expand_row(blit, source, false);
  } else {
    copy_row(blit, source);
  }
  const u32 to = blit.to + static_cast<u32>(blit.to_pitch * static_cast<i32>(row));
  store_row(blit, blit.backwards() ? to - blit.width + 1 : to);
}

void CirrusBlitter::put_pixel(std::size_t at, u32 color, u32 bytes) {
  for (std::size_t i = 0; i < bytes && at + i < row_.size(); ++i)
    row_[at + i] = static_cast<u8>(color >> 8 * i);
}

// Pixels of the colour in GR34 and GR35 are left out of a transparent copy (8 and 16 bits).
void CirrusBlitter::copy_row(const Blit& blit, std::span<const u8> source) {
  std::copy_n(source.begin(), row_.size(), row_.begin());
  if (!blit.transparent() || blit.pixel_bytes > 2) return;
  for (std::size_t at = 0; at + blit.pixel_bytes <= row_.size(); at += blit.pixel_bytes) {
    bool is_key = true;
    for (std::size_t i = 0; i < blit.pixel_bytes; ++i)
      is_key &= row_[at + i] == gr_[kTransparent + i];
    if (is_key)
      std::fill_n(drawn_.begin() + static_cast<std::ptrdiff_t>(at), blit.pixel_bytes, u8{0});
  }
}

// A bit a pixel, the leftmost in bit 7; GR2F cuts pixels off at the left.
void CirrusBlitter::expand_row(const Blit& blit, std::span<const u8> bits, bool wraps) {
  const u32 size = blit.pixel_bytes;
  const u32 cut = size == 3 ? (gr_[kBlitLeft] & 0x1fu) / 3 : gr_[kBlitLeft] & 7u;
  const bool inverted = (blit.extensions & kInvert) != 0;
  for (u32 pixel = 0; pixel * size < row_.size(); ++pixel) {
    const u32 byte = wraps ? 0 : pixel / 8;
    bool on = byte < bits.size() && (bits[byte] >> (7 - pixel % 8) & 1) != 0;
    bool shown = pixel >= cut;
    u32 color = on ? blit.foreground : blit.background;
    if (blit.transparent()) {
      on ^= inverted;
      shown &= on;
      color = inverted ? blit.background : blit.foreground;
    }
    put_pixel(std::size_t{pixel} * size, color, size);
    if (shown) continue;
    const auto first = drawn_.begin() + static_cast<std::ptrdiff_t>(pixel * size);
    std::fill(first, first + std::min<std::ptrdiff_t>(size, drawn_.end() - first), u8{0});
  }
}

// Eight pixels that repeat.
void CirrusBlitter::pattern_row(const Blit& blit, std::span<const u8> pattern) {
  const u32 period = 8 * blit.pixel_bytes;
  const u32 cut =
      blit.pixel_bytes == 3 ? gr_[kBlitLeft] & 0x1fu : (gr_[kBlitLeft] & 7u) * blit.pixel_bytes;
  for (std::size_t at = 0; at < row_.size(); ++at) {
    row_[at] = pattern[at % period];
    drawn_[at] = at >= cut ? 1 : 0;
  }
}

void CirrusBlitter::store_row(const Blit& blit, u32 to) {
  std::array<u8, kMostRowBytes> before;
  const std::span<u8> old = std::span(before).first(row_.size());
  fetch(to, old, false);
  for (std::size_t i = 0; i < row_.size(); ++i) {
    if (drawn_[i] != 0) old[i] = combine(blit.rop, row_[i], old[i]);
  }
  std::span<const u8> left = old;
  for (u32 at = to & (kVramBytes - 1); !left.empty(); at = 0) {
    const std::size_t n = std::min<std::size_t>(left.size(), kVramBytes - at);
    vram_.write(at, left.first(n));
    left = left.subspan(n);
  }
}

}  // namespace emu
