// SPDX-License-Identifier: Apache-2.0
// The register files of the Cirrus Logic GD5446: the VGA's, and beyond them the extended sequencer,
// graphics and CRT controller registers, the hidden DAC register and the pointer.
// Source: CL-GD5446 Technical Reference Manual, chapters 5 to 9.
// Threads: the machine lock is held by every caller.
// Not modelled: clock synthesizers (any mode is shown), DDC, the video window, interlaced fields
// (an interlaced picture is drawn in full).
#pragma once

#include "devices/video/cirrus_blitter.h"
#include "devices/video/super_vga.h"
#include "devices/video/vga_registers.h"

namespace emu {

class CirrusRegisters final : public SuperVga {
 public:
  explicit CirrusRegisters(VideoMemory vram) : vram_(vram), blitter_(vram, gr_) { reset(); }
  void reset();
  void transfer(StateIo& io);

  // As VgaRegisters.
  [[nodiscard]] u8 read(u16 port, u64 now_ns);
  void write(u16 port, u8 value);
  // Graphics register `index`; writes may start a blit.
  [[nodiscard]] u8 read_gr(u8 index) const;
  void write_gr(u8 index, u8 value);

  [[nodiscard]] const VgaRegisters& vga() const { return vga_; }
  [[nodiscard]] CirrusBlitter& blitter() { return blitter_; }
  [[nodiscard]] const CirrusBlitter& blitter() const { return blitter_; }
  [[nodiscard]] u8 gr(u8 index) const { return gr_[index]; }
  [[nodiscard]] u8 sr(u8 index) const { return sr_[index & 31]; }
  // What bank `bank` (0, 1: of 32 KiB each) of the window at A0000h shows.
  [[nodiscard]] u32 bank_bytes(unsigned bank) const;

  // SuperVga.
  [[nodiscard]] bool is_enabled() const override;
  [[nodiscard]] bool has_eight_bit_dac() const override { return false; }
  [[nodiscard]] u32 width() const override;
  [[nodiscard]] u32 height() const override;
  [[nodiscard]] u32 bits_per_pixel() const override;
  [[nodiscard]] u32 pitch_bytes() const override;
  [[nodiscard]] u32 start_bytes() const override;
  [[nodiscard]] HardwareCursor cursor() const override;

 private:
  [[nodiscard]] u8 read_seq() const;
  void write_seq(u8 value);
  [[nodiscard]] u8 read_crtc(u16 port, u64 now_ns);
  void write_crtc(u16 port, u8 value);
  [[nodiscard]] u32 cursor_color(unsigned entry) const;

  const VideoMemory vram_;
  // parts, state (saved)
  VgaRegisters vga_;
  CirrusBlitter blitter_;
  u8 sr_index_, gr_index_, cr_index_;
  std::array<u8, 32> sr_;
  CirrusBlitter::Registers gr_;
  std::array<u8, cirrus::kCrtcCount> cr_;
  u16 cursor_x_, cursor_y_;
  u8 dac_locks_;  // reads of 3C6h in a row
  u8 hidden_dac_;
  u8 cursor_entry_, cursor_component_;
  std::array<u8, 48> cursor_palette_;
};

}  // namespace emu
