// SPDX-License-Identifier: Apache-2.0
#include "devices/video/cirrus_registers.h"

#include <algorithm>

namespace emu {

using namespace cirrus;
using namespace vga;

namespace {

constexpr u8 kKey = 0x12, kLocked = 0x0f;
constexpr u32 kVram = static_cast<u32>(kVramBytes);
constexpr u32 kPatternArea = 16 * 1024;  // of pointers, at the end of video memory

}  // namespace

void CirrusRegisters::reset() {
  vga_.reset();
  sr_index_ = gr_index_ = cr_index_ = 0;
  sr_.fill(0);
  gr_.fill(0);
  cr_.fill(0);
  sr_[kUnlock] = kLocked;
  sr_[kDramControl] = 0x98;    // 64-bit memory, two banks of 2 MiB
  sr_[kScratch3] = 0x04;       // where the video BIOS keeps the size: 4 MiB
  sr_[kConfiguration] = 0x20;  // PCI
  sr_[kMemoryClock] = 0x2d;
  gr_[0x18] = 0x0f;
  cr_[kPartId] = kPart5446;
  cursor_x_ = cursor_y_ = 0;
  dac_locks_ = 0;
  hidden_dac_ = 0;
  cursor_entry_ = cursor_component_ = 0;
  cursor_palette_.fill(0);
  blitter_.reset();
}

void CirrusRegisters::transfer(StateIo& io) {
  vga_.transfer(io);
  io.section("cirrus", 1, [&] {
    io.field(1, "sr_index", sr_index_);
    io.field(2, "gr_index", gr_index_);
    io.field(3, "cr_index", cr_index_);
    io.field(4, "sr", sr_);
    io.field(5, "gr", gr_);
    io.field(6, "cr", cr_);
    io.field(7, "cursor_x", cursor_x_);
    io.field(8, "cursor_y", cursor_y_);
    io.field(9, "dac_locks", dac_locks_);
    io.field(10, "hidden_dac", hidden_dac_);
    io.field(11, "cursor_entry", cursor_entry_);
    io.field(12, "cursor_component", cursor_component_);
    io.field(13, "cursor_palette", cursor_palette_);
    io.check(cursor_entry_ < 16 && cursor_component_ < 3 && cursor_x_ < 2048 && cursor_y_ < 2048,
             "the Cirrus pointer");
  });
  blitter_.transfer(io);
}

u8 CirrusRegisters::read(u16 port, u64 now_ns) {
  // The fifth access to 3C6h in a row is to the hidden DAC register (6.2).
  if (port == kPortDacMask && ++dac_locks_ > 4) {
    dac_locks_ = 0;
    return hidden_dac_;
  }
  if (port != kPortDacMask) dac_locks_ = 0;
  switch (port) {
    case kPortSeqIndex:
      return sr_index_;
    case kPortSeqData:
      return sr_index_ < kSeqCount ? vga_.read(port, now_ns) : read_seq();
    case kPortGfxIndex:
      return gr_index_;
    case kPortGfxData:
      return read_gr(gr_index_);
    case kPortCrtcIndex:
    case kPortCrtcIndexMono:
    case kPortCrtcData:
    case kPortCrtcDataMono:
      return read_crtc(port, now_ns);
    default:
      return vga_.read(port, now_ns);
  }
}

void CirrusRegisters::write(u16 port, u8 value) {
  if (port == kPortDacMask && dac_locks_ == 4) {
    hidden_dac_ = value;
    dac_locks_ = 0;
    return;
  }
  dac_locks_ = 0;
  const bool cursor_colors = (sr_[kCursorMode] & kCursorColors) != 0;
  switch (port) {
    case kPortSeqIndex:
      sr_index_ = value;
      return vga_.write(port, value & 7);
    case kPortSeqData:
      return sr_index_ < kSeqCount ? vga_.write(port, value) : write_seq(value);
    case kPortGfxIndex:
      gr_index_ = value;
      return;
    case kPortGfxData:
      return write_gr(gr_index_, value);
    case kPortCrtcIndex:
    case kPortCrtcIndexMono:
    case kPortCrtcData:
    case kPortCrtcDataMono:
      return write_crtc(port, value);
    case kPortDacWriteIndex:
      cursor_entry_ = value & 15;
      cursor_component_ = 0;
      return vga_.write(port, value);
    case kPortDacData:
      if (!cursor_colors) return vga_.write(port, value);
      cursor_palette_[cursor_entry_ * 3u + cursor_component_] = value & 0x3f;
      cursor_component_ = static_cast<u8>((cursor_component_ + 1) % 3);
      if (cursor_component_ == 0) cursor_entry_ = (cursor_entry_ + 1) & 15;
      return;
    default:
      return vga_.write(port, value);
  }
}

// SR10 and SR11 are eight registers each: the index has the lower bits of the position.
u8 CirrusRegisters::read_seq() const {
  const u8 index = sr_index_ & 31;
  if (index == kCursorX) return static_cast<u8>(cursor_x_ >> 3);
  if (index == kCursorY) return static_cast<u8>(cursor_y_ >> 3);
  return sr_[index];
}

void CirrusRegisters::write_seq(u8 value) {
  const u8 index = sr_index_ & 31;
  switch (index) {
    case kUnlock:
      sr_[index] = (value & 0x17) == kKey ? kKey : kLocked;
      return;
    case kCursorX:
      cursor_x_ = static_cast<u16>(value << 3 | sr_index_ >> 5);
      return;
    case kCursorY:
      cursor_y_ = static_cast<u16>(value << 3 | sr_index_ >> 5);
      return;
    case kConfiguration:  // the bus and memory straps are read only
      sr_[index] = (sr_[index] & 0x38) | (value & 0xc7);
      return;
    default:
      sr_[index] = value;
  }
}

u8 CirrusRegisters::read_gr(u8 index) const {
  if (index >= cirrus::kGfxCount) return 0xff;
  if (index == kBlitControl)
    return static_cast<u8>((gr_[index] & ~(kBusy | 0x08)) |
                           (blitter_.takes_source() ? kBusy | 0x08 : 0));
  return gr_[index];
}

void CirrusRegisters::write_gr(u8 index, u8 value) {
  if (index >= cirrus::kGfxCount) return;
  const u8 before = gr_[index];
  gr_[index] = value;
  if (index <= kGfxBitMask) {
    vga_.write(kPortGfxIndex, index);
    vga_.write(kPortGfxData, value);
  } else if (index == kStartsBlit && (gr_[kBlitControl] & kAutoStart) != 0) {
    blitter_.start();
  } else if (index == kBlitControl) {
    if ((before & kReset) != 0 && (value & kReset) == 0) blitter_.reset();
    if ((before & kStart) == 0 && (value & kStart) != 0) blitter_.start();
    gr_[index] &= static_cast<u8>(~(kStart | kBusy));
  }
}

u8 CirrusRegisters::read_crtc(u16 port, u64 now_ns) {
  const bool is_index = port == kPortCrtcIndex || port == kPortCrtcIndexMono;
  if (is_index || cr_index_ < vga::kCrtcCount) return vga_.read(port, now_ns);
  if (cr_index_ == kAttrIndex) return vga_.read(kPortAttr, now_ns) & 0x3f;
  return cr_index_ < cirrus::kCrtcCount ? cr_[cr_index_] : u8{0xff};
}

void CirrusRegisters::write_crtc(u16 port, u8 value) {
  const bool is_index = port == kPortCrtcIndex || port == kPortCrtcIndexMono;
  if (is_index) cr_index_ = value;
  if (is_index || cr_index_ < vga::kCrtcCount) return vga_.write(port, value);
  if (cr_index_ < kLatch) cr_[cr_index_] = value;
}

u32 CirrusRegisters::bank_bytes(unsigned bank) const {
  const u8 how = gr_[kModeExtensions];
  const bool dual = (how & kDualBanks) != 0;
  const u32 register_value = gr_[kBank0 + (dual ? bank : 0)];
  return (register_value << ((how & kBank16K) != 0 ? 14 : 12)) + (!dual && bank != 0 ? 0x8000 : 0);
}

// --- The mode ---

bool CirrusRegisters::is_enabled() const {
  return (sr_[kExtendedMode] & kPackedPixels) != 0 && vga_.is_video_on() &&
         (vga_.gfx(kGfxMisc) & kMiscGraphics) != 0 && pitch_bytes() != 0 &&
         u64{start_bytes()} + u64{pitch_bytes()} * height() <= kVram &&
         u64{width()} * ((bits_per_pixel() + 7) / 8) <= pitch_bytes();
}

u32 CirrusRegisters::width() const {
  return (vga_.crtc(kCrtcHDisplayEnd) + 1u) * 8;
}

u32 CirrusRegisters::height() const {
  const u32 lines = vga_.vertical_display_lines();
  return (cr_[kInterlace] & 1) != 0 ? lines * 2 : lines;
}

u32 CirrusRegisters::bits_per_pixel() const {
  switch (sr_[kExtendedMode] & kDepthMask) {
    case 0x02:
    case 0x06:
      return (hidden_dac_ & 0x0f) == 0 ? 15 : 16;
    case 0x04:
      return 24;
    case 0x08:
      return 32;
    default:
      return 8;
  }
}

u32 CirrusRegisters::pitch_bytes() const {
  return (vga_.crtc(kCrtcOffset) | (cr_[kOverflow1] & 0x10u) << 4) * 8;
}

u32 CirrusRegisters::start_bytes() const {
  const u32 start = u32{vga_.crtc(kCrtcStartHigh)} << 8 | vga_.crtc(kCrtcStartLow) |
                    (cr_[kOverflow1] & 0x01u) << 16 | (cr_[kOverflow1] & 0x0cu) << 15 |
                    (cr_[kOverflow2] & 0x80u) << 12;
  return start * 4 & (kVram - 1);
}

u32 CirrusRegisters::cursor_color(unsigned entry) const {
  u32 color = 0;
  for (unsigned i = 0; i < 3; ++i) {
    const u32 raw = cursor_palette_[entry * 3 + i];
    color = color << 8 | (raw << 2 | raw >> 4);
  }
  return color;
}

// Two planes, in rows of 16 bytes for 64 pixels, else one after the other.
HardwareCursor CirrusRegisters::cursor() const {
  if ((sr_[kCursorMode] & kCursorOn) == 0 || !is_enabled()) return {};
  const bool large = (sr_[kCursorMode] & kCursorLarge) != 0;
  HardwareCursor out;
  out.size = large ? 64 : 32;
  out.x = cursor_x_;
  out.y = cursor_y_;
  out.background = cursor_color(0);
  out.foreground = cursor_color(15);
  const u32 first = kVram - kPatternArea + (sr_[kCursorPattern] & (large ? 0x3cu : 0x3fu)) * 256;
  const u32 bytes = out.size / 8;
  for (u32 row = 0; row < out.size; ++row) {
    const u32 at = first + row * (large ? 16 : 4);
    const auto plane = [&](u32 offset) {
      u64 bits = 0;
      const std::span<const u8> data = vram_.bytes(offset, bytes);
      for (u32 i = 0; i < data.size(); ++i) bits |= u64{data[i]} << (56 - 8 * i);
      return bits;
    };
    out.mask[row] = plane(at);
    out.color[row] = plane(at + (large ? 8 : 128));
  }
  return out;
}

}  // namespace emu
