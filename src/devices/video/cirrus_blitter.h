// SPDX-License-Identifier: Apache-2.0
// The BitBLT engine of the Cirrus Logic GD5446: copies, patterns, colour expansion, with 16 raster
// operations, from screen or system to screen. A blit is over when it was started, or when the
// processor has delivered its last byte.
// Source: CL-GD5446 Technical Reference Manual, chapter 8 (BitBLT engine) and GR20-GR35.
// Threads: the machine lock is held by every caller.
// Not modelled: screen to system (no driver uses it), line drawing, clipping rectangles.
#pragma once

#include <array>
#include <vector>

#include "base/state_io.h"
#include "devices/video/cirrus_spec.h"
#include "devices/video/video_memory_unsafe.h"

namespace emu {

class CirrusBlitter {
 public:
  using Registers = std::array<u8, cirrus::kGfxCount>;
  // `registers` are the graphics controller's, all eight bits of GR0 and GR1 too.
  CirrusBlitter(VideoMemory vram, const Registers& registers) : vram_(vram), gr_(registers) {}

  void reset();
  void transfer(StateIo& io);
  void start();
  // Whether what the processor writes to video memory is a blit's source.
  [[nodiscard]] bool takes_source() const { return rows_left_ != 0; }
  void source(u8 byte);

 private:
  // One blit, as the registers have it.
  struct Blit {
    u32 width, height;  // bytes and rows
    u32 to, from;
    i32 to_pitch, from_pitch;
    u32 pixel_bytes;
    u8 mode, extensions, rop;
    u32 foreground, background;
    [[nodiscard]] bool backwards() const { return (mode & cirrus::kBackwards) != 0; }
    [[nodiscard]] bool expands() const { return (mode & cirrus::kExpand) != 0; }
    [[nodiscard]] bool patterned() const { return (mode & cirrus::kPattern) != 0; }
    [[nodiscard]] bool transparent() const { return (mode & cirrus::kTransparency) != 0; }
  };
  [[nodiscard]] Blit describe() const;
  [[nodiscard]] u32 gather(u8 index, unsigned bytes) const;
  // Bytes that the processor delivers for a row.
  [[nodiscard]] static u32 system_row_bytes(const Blit& blit);
  // One row: what comes from `source` goes to row_, where `drawn` says so.
  void copy_row(const Blit& blit, std::span<const u8> source);
  void expand_row(const Blit& blit, std::span<const u8> bits, bool wraps);
  void pattern_row(const Blit& blit, std::span<const u8> pattern);
  // Combines row_ with what is at `to`, and stores it.
  void store_row(const Blit& blit, u32 to);
  void draw_row(const Blit& blit, u32 row, std::span<const u8> source);
  void fetch(u32 from, std::span<u8> out, bool backwards) const;
  void put_pixel(std::size_t at, u32 color, u32 bytes);

  const VideoMemory vram_;
  const Registers& gr_;
  // state (saved)
  std::vector<u8> source_;  // of the row that the processor is delivering
  u32 rows_left_ = 0;       // that it still delivers
  // scratch (rebuilt)
  std::vector<u8> row_;    // new bytes
  std::vector<u8> drawn_;  // 1: replaces what was there
};

}  // namespace emu
