// SPDX-License-Identifier: Apache-2.0
#include "devices/video/scan_out.h"

namespace emu {

using namespace vga;
using Kind = ScanOut::Kind;

namespace {

constexpr u32 kLegacyBytes = 256 * 1024;

Kind vbe_kind(u32 bits_per_pixel) {
  switch (bits_per_pixel) {
    case 4:
      return Kind::kPlanar;
    case 15:
      return Kind::kHigh15;
    case 16:
      return Kind::kHigh16;
    case 24:
      return Kind::kTrue24;
    case 32:
      return Kind::kTrue32;
    default:
      return Kind::kPacked;
  }
}

ScanOut vbe_mode(const VgaRegisters& registers, const SuperVga& vbe, u32 vram_bytes) {
  ScanOut mode;
  mode.kind = registers.is_video_on() ? vbe_kind(vbe.bits_per_pixel()) : Kind::kBlank;
  mode.width = vbe.width();
  mode.height = vbe.height();
  mode.start_bytes = vbe.start_bytes();
  mode.pitch_bytes = vbe.pitch_bytes();
  if (mode.kind == Kind::kPlanar) mode.start_bytes &= ~3u;
  mode.memory_mask = vram_bytes - 1;
  return mode;
}

// What text and graphics have in common.
ScanOut legacy_frame(const VgaRegisters& r) {
  ScanOut mode;
  mode.height = r.vertical_display_lines();
  mode.pixel_repeat = (r.seq(kSeqClockMode) & kClockHalfRate) != 0 ? 2 : 1;
  const u32 start = u32{r.crtc(kCrtcStartHigh)} << 8 | r.crtc(kCrtcStartLow);
  const u32 byte_panning = (r.crtc(kCrtcPresetRow) >> 5) & 3;
  mode.start_bytes = (start + byte_panning) * 4;
  mode.pitch_bytes = u32{r.crtc(kCrtcOffset)} * 8;
  mode.memory_mask = kLegacyBytes - 1;
  mode.line_compare = r.line_compare();
  mode.lines_per_row = (r.crtc(kCrtcMaxScan) & 0x1Fu) + 1;
  mode.scan_doubled = (r.crtc(kCrtcMaxScan) & kMaxScanDouble) != 0;
  mode.preset_row = r.crtc(kCrtcPresetRow) & 0x1F;
  mode.pan_stops_at_split = (r.attr(kAttrMode) & kAttrModePanSplit) != 0;
  return mode;
}

void describe_text(ScanOut& mode, const VgaRegisters& r) {
  const bool eight_dots = (r.seq(kSeqClockMode) & kClockEightDots) != 0;
  const u32 pan = r.attr(kAttrPanning);
  mode.kind = Kind::kText;
  mode.columns = r.crtc(kCrtcHDisplayEnd) + u32{1};
  mode.cell_width = eight_dots ? 8 : 9;
  mode.width = mode.columns * mode.cell_width * mode.pixel_repeat;
  // Nine-dot cells count the shift from 8 (none), 0 (one pixel) to 7.
  mode.pan_pixels = eight_dots ? pan & 7 : (pan + 1) % 9;
  if (!eight_dots && pan > 8) mode.pan_pixels = 0;
}

void describe_graphics(ScanOut& mode, const VgaRegisters& r) {
  const u8 shift = r.gfx(kGfxMode);
  const u32 characters = r.crtc(kCrtcHDisplayEnd) + u32{1};
  if ((shift & kModeShift256) != 0) {
    mode.kind = Kind::kPacked;
    mode.pixel_repeat = 2;
    mode.width = characters * 8;
    mode.pan_pixels = (r.attr(kAttrPanning) & 7) / 2;
  } else {
    mode.kind = (shift & kModeShiftInterleave) != 0 ? Kind::kCga : Kind::kPlanar;
    mode.width = characters * 8 * mode.pixel_repeat;
    mode.pan_pixels = r.attr(kAttrPanning) & 7;
  }
  const u8 addressing = r.crtc(kCrtcMode);
  // In word mode, odd/even addresses are stored at half: address bit 13 is bit 14 of the memory.
  const u32 bit13 = (addressing & kCrtcModeByte) != 0 ? 1u << 15 : 1u << 14;
  if ((addressing & kCrtcModeNoCgaRow) == 0) mode.cga_row_bit = bit13;
  if ((addressing & kCrtcModeNoHerculesRow) == 0) mode.hercules_row_bit = bit13 << 1;
}

// A DAC entry as a pixel.
u32 dac_color(const u8* entry, bool eight_bit) {
  u32 color = 0;
  for (int i = 0; i < 3; ++i) {
    const u32 raw = entry[i];
    // Six bits fill eight by repeating the upper two, so that 3Fh is white.
    color = color << 8 | (eight_bit ? raw : (raw & 0x3F) << 2 | (raw & 0x3F) >> 4);
  }
  return color;
}

}  // namespace

ScanOut scan_out(const VgaRegisters& registers, const SuperVga& vbe, u32 vram_bytes) {
  if (vbe.is_enabled()) return vbe_mode(registers, vbe, vram_bytes);
  ScanOut mode = legacy_frame(registers);
  if ((registers.gfx(kGfxMisc) & kMiscGraphics) != 0) {
    describe_graphics(mode, registers);
  } else {
    describe_text(mode, registers);
  }
  const bool screen_off = (registers.seq(kSeqClockMode) & kClockScreenOff) != 0;
  if (!registers.is_video_on() || screen_off) mode.kind = Kind::kBlank;
  return mode;
}

LineSource line_source(const ScanOut& mode, u32 line) {
  LineSource source;
  u32 first = mode.start_bytes;
  source.below_split = line > mode.line_compare;
  u32 y = line;
  if (source.below_split) {
    y = line - mode.line_compare - 1;
    first = 0;
  }
  if (mode.scan_doubled) y /= 2;
  if (!source.below_split) y += mode.preset_row;
  source.scan = y % mode.lines_per_row;
  source.offset = first + y / mode.lines_per_row * mode.pitch_bytes;
  if (mode.cga_row_bit != 0) {
    source.offset &= ~mode.cga_row_bit;
    if ((source.scan & 1) != 0) source.offset |= mode.cga_row_bit;
  }
  if (mode.hercules_row_bit != 0) {
    source.offset &= ~mode.hercules_row_bit;
    if ((source.scan & 2) != 0) source.offset |= mode.hercules_row_bit;
  }
  return source;
}

Colors current_colors(const VgaRegisters& registers, bool eight_bit_dac) {
  Colors colors;
  for (u32 i = 0; i < 256; ++i) {
    const u8 index = static_cast<u8>(i & registers.dac_mask());
    colors.packed[i] = dac_color(registers.dac(index), eight_bit_dac);
  }
  const u8 select = registers.attr(kAttrColorSelect);
  for (u32 i = 0; i < 16; ++i) {
    u32 index = registers.attr(static_cast<u8>(i & registers.attr(kAttrPlaneEnable) & 15)) & 0x3Fu;
    if ((registers.attr(kAttrMode) & kAttrModeSelect54) != 0) {
      index = (index & 0x0F) | (select & 3u) << 4;
    }
    colors.planar[i] = colors.packed[index | (select & 12u) << 4];
  }
  return colors;
}

}  // namespace emu
