// SPDX-License-Identifier: Apache-2.0
// What the registers say should be on the screen: the mode in one plain struct, its colours, and
// where each scan line comes from.
// Source: IBM VGA technical reference, CRT controller; FreeVGA "VGA Sequencer Operation", "CRTC".
#pragma once

#include <array>

#include "base/types.h"
#include "devices/video/super_vga.h"
#include "devices/video/vga_registers.h"

namespace emu {

struct ScanOut {
  enum class Kind : u8 {
    kBlank,
    kText,
    kPlanar,  // four planes, 16 colours
    kCga,     // two bits a pixel, interleaved in pairs of planes
    kPacked,  // a byte a pixel, through the DAC
    kHigh15,  // direct colour from here on
    kHigh16,
    kTrue24,
    kTrue32,
  };
  Kind kind = Kind::kBlank;
  u32 width = 0, height = 0;  // of the picture, in pixels
  u32 start_bytes = 0;        // first visible byte of video memory
  u32 pitch_bytes = 0;        // from row to row
  u32 memory_mask = 0;        // addresses wrap here (size - 1)
  u32 line_compare = ~0u;     // scan line after which the picture starts again at address 0
  u32 lines_per_row = 1;      // scan lines that a row (of pixels or characters) is repeated for
  u32 preset_row = 0;         // scan line of the first row to begin with
  u32 cga_row_bit = 0;        // memory address bit replaced by row-scan bit 0, or 0
  u32 hercules_row_bit = 0;   // ... by row-scan bit 1, or 0
  u32 pixel_repeat = 1;       // screen pixels per pixel
  u32 pan_pixels = 0;         // pixels cut from the left
  bool pan_stops_at_split = false;
  bool scan_doubled = false;
  // text only
  u32 columns = 0;
  u32 cell_width = 8;
  bool operator==(const ScanOut&) const = default;
};

// The mode that the registers set; `vram_bytes` is a power of two.
[[nodiscard]] ScanOut scan_out(const VgaRegisters& registers, const SuperVga& vbe, u32 vram_bytes);

// Where a scan line of the picture comes from.
struct LineSource {
  u32 offset = 0;  // byte in video memory of the row's first pixel or cell, not wrapped
  u32 scan = 0;    // scan line within the row
  bool below_split = false;
};
[[nodiscard]] LineSource line_source(const ScanOut& mode, u32 line);

// 0x00RRGGBB for every value of a pixel.
struct Colors {
  std::array<u32, 16> planar{};   // through the attribute controller
  std::array<u32, 256> packed{};  // through the DAC only
  bool operator==(const Colors&) const = default;
};
[[nodiscard]] Colors current_colors(const VgaRegisters& registers, bool eight_bit_dac);

}  // namespace emu
