// SPDX-License-Identifier: Apache-2.0
// The VGA's register files behind ports 3B4h-3DFh: sequencer, CRT controller, graphics and
// attribute controller, DAC, and the retrace bits.
// Source: IBM VGA technical reference; FreeVGA; OSDev "VGA Hardware".
// Threads: the machine lock is held by every caller.
// Not modelled: light pen, CGA/Hercules mode ports (3D8h, 3D9h, 3BFh), feature connector, the
// vertical retrace interrupt (few boards wired it).
#pragma once

#include <array>

#include "base/state_io.h"
#include "base/types.h"
#include "devices/video/vga_spec.h"

namespace emu {

class VgaRegisters {
 public:
  VgaRegisters() { reset(); }
  void reset();
  void transfer(StateIo& io);

  // One byte at a port in 3B0h-3DFh. `now_ns` is VM time, for the retrace bits. Ports without a
  // register read FFh.
  [[nodiscard]] u8 read(u16 port, u64 now_ns);
  void write(u16 port, u8 value);

  [[nodiscard]] u8 seq(u8 index) const { return seq_[index & 7]; }
  [[nodiscard]] u8 gfx(u8 index) const { return gfx_[index & 15]; }
  [[nodiscard]] u8 crtc(u8 index) const { return crtc_[index & 31]; }
  [[nodiscard]] u8 attr(u8 index) const { return attr_[index & 31]; }
  [[nodiscard]] u8 misc_output() const { return misc_output_; }
  [[nodiscard]] bool is_video_on() const { return (attr_index_ & vga::kAttrIndexVideoOn) != 0; }
  // Component values of DAC entry `index` as written (six or eight bits, see BochsVbe).
  [[nodiscard]] const u8* dac(u8 index) const { return &palette_[index * std::size_t{3}]; }
  [[nodiscard]] u8 dac_mask() const { return dac_mask_; }

  // Ten-bit vertical counts, gathered from their scattered bits.
  [[nodiscard]] u32 vertical_display_lines() const;
  [[nodiscard]] u32 vertical_total_lines() const;
  [[nodiscard]] u32 line_compare() const;

 private:
  [[nodiscard]] u8 read_status1(u64 now_ns);
  [[nodiscard]] u8 read_dac_data();
  void write_attr(u8 value);
  void write_crtc(u8 value);
  void write_dac_data(u8 value);
  // Whether `port` is in the half (3Bx or 3Dx) that does not answer now.
  [[nodiscard]] bool is_hidden(u16 port) const;

  // state (saved)
  u8 misc_output_;
  u8 feature_;
  u8 seq_index_, gfx_index_, crtc_index_, attr_index_;
  bool attr_data_next_;
  std::array<u8, 8> seq_;
  std::array<u8, 16> gfx_;
  std::array<u8, 32> crtc_;
  std::array<u8, 32> attr_;
  u8 dac_mask_, dac_read_index_, dac_write_index_;
  u8 dac_component_;
  bool dac_reading_;
  std::array<u8, 2> dac_partial_;  // red and green of an entry whose blue is still to come
  std::array<u8, 768> palette_;
};

}  // namespace emu
