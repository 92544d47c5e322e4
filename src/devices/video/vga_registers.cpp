// SPDX-License-Identifier: Apache-2.0
#include "devices/video/vga_registers.h"

namespace emu {

using namespace vga;

namespace {

// Bits that exist; the others read as zero.
constexpr std::array<u8, 8> kSeqMask{0x03, 0x3D, 0x0F, 0x3F, 0x0E, 0, 0, 0xFF};
constexpr std::array<u8, 16> kGfxMask{0x0F, 0x0F, 0x0F, 0x1F, 0x03, 0x7B, 0x0F, 0x0F, 0xFF};
constexpr std::array<u8, 32> kAttrMask{0x3F, 0x3F, 0x3F, 0x3F, 0x3F, 0x3F, 0x3F,
                                       0x3F, 0x3F, 0x3F, 0x3F, 0x3F, 0x3F, 0x3F,
                                       0x3F, 0x3F, 0xEF, 0xFF, 0x3F, 0x0F, 0x0F};

}  // namespace

void VgaRegisters::reset() {
  misc_output_ = 0;
  feature_ = 0;
  seq_index_ = gfx_index_ = crtc_index_ = attr_index_ = 0;
  attr_data_next_ = false;
  seq_ = {};
  gfx_ = {};
  crtc_ = {};
  attr_ = {};
  dac_mask_ = 0xFF;
  dac_read_index_ = dac_write_index_ = dac_component_ = 0;
  dac_reading_ = false;
  dac_partial_ = {};
  palette_ = {};
}

void VgaRegisters::transfer(StateIo& io) {
  io.section("vga-registers", 1, [&] {
    io.field(1, "misc_output", misc_output_);
    io.field(2, "feature", feature_);
    io.field(3, "seq_index", seq_index_);
    io.field(4, "gfx_index", gfx_index_);
    io.field(5, "crtc_index", crtc_index_);
    io.field(6, "attr_index", attr_index_);
    io.field(7, "attr_data_next", attr_data_next_);
    io.field(8, "seq", seq_);
    io.field(9, "gfx", gfx_);
    io.field(10, "crtc", crtc_);
    io.field(11, "attr", attr_);
    io.field(12, "dac_mask", dac_mask_);
    io.field(13, "dac_read_index", dac_read_index_);
    io.field(14, "dac_write_index", dac_write_index_);
    io.field(15, "dac_component", dac_component_);
    io.field(16, "dac_reading", dac_reading_);
    io.field(17, "dac_partial", dac_partial_);
    io.field(18, "palette", palette_);
    io.check(dac_component_ < 3, "DAC component");
  });
}

bool VgaRegisters::is_hidden(u16 port) const {
  const bool color = (misc_output_ & kMiscColor) != 0;
  return (port < 0x3C0 && color) || (port >= 0x3D0 && !color);
}

u8 VgaRegisters::read(u16 port, u64 now_ns) {
  if (is_hidden(port)) return 0xFF;
  switch (port) {
    case kPortAttr:
      return attr_data_next_ ? attr_[attr_index_ & 31] : attr_index_;
    case kPortAttrRead:
      return attr_[attr_index_ & 31];
    case kPortStatus0:
      return 0x10;  // switch sense: a colour monitor is attached
    case kPortEnable:
      return 0x01;
    case kPortSeqIndex:
      return seq_index_;
    case kPortSeqData:
      return seq(seq_index_);
    case kPortDacMask:
      return dac_mask_;
    case kPortDacReadIndex:
      return dac_reading_ ? 3 : 0;
    case kPortDacWriteIndex:
      return dac_write_index_;
    case kPortDacData:
      return read_dac_data();
    case kPortFeatureRead:
      return feature_;
    case kPortMiscRead:
      return misc_output_;
    case kPortGfxIndex:
      return gfx_index_;
    case kPortGfxData:
      return gfx(gfx_index_);
    case kPortCrtcIndexMono:
    case kPortCrtcIndex:
      return crtc_index_;
    case kPortCrtcDataMono:
    case kPortCrtcData:
      return crtc_index_ < kCrtcCount ? crtc_[crtc_index_] : 0;
    case kPortStatus1Mono:
    case kPortStatus1:
      return read_status1(now_ns);
    default:
      return 0xFF;
  }
}

void VgaRegisters::write(u16 port, u8 value) {
  if (is_hidden(port)) return;
  switch (port) {
    case kPortAttr:
      write_attr(value);
      break;
    case kPortStatus0:
      misc_output_ = value & 0xEF;
      break;
    case kPortSeqIndex:
      seq_index_ = value & 7;
      break;
    case kPortSeqData:
      seq_[seq_index_] = value & kSeqMask[seq_index_];
      break;
    case kPortDacMask:
      dac_mask_ = value;
      break;
    case kPortDacReadIndex:
      dac_read_index_ = value;
      dac_component_ = 0;
      dac_reading_ = true;
      break;
    case kPortDacWriteIndex:
      dac_write_index_ = value;
      dac_component_ = 0;
      dac_reading_ = false;
      break;
    case kPortDacData:
      write_dac_data(value);
      break;
    case kPortGfxIndex:
      gfx_index_ = value & 15;
      break;
    case kPortGfxData:
      gfx_[gfx_index_] = value & kGfxMask[gfx_index_];
      break;
    case kPortCrtcIndexMono:
    case kPortCrtcIndex:
      crtc_index_ = value;
      break;
    case kPortCrtcDataMono:
    case kPortCrtcData:
      write_crtc(value);
      break;
    case kPortStatus1Mono:
    case kPortStatus1:
      feature_ = value & 0x10;
      break;
    default:
      break;
  }
}

void VgaRegisters::write_attr(u8 value) {
  if (!attr_data_next_) {
    attr_index_ = value & 0x3F;
  } else {
    const u8 index = attr_index_ & 31;
    attr_[index] = value & kAttrMask[index];
  }
  attr_data_next_ = !attr_data_next_;
}

void VgaRegisters::write_crtc(u8 value) {
  if (crtc_index_ >= kCrtcCount) return;
  if ((crtc_[kCrtcVRetraceEnd] & kRetraceEndProtect) != 0 && crtc_index_ <= kCrtcOverflow) {
    // Only bit 8 of the line compare stays writable.
    if (crtc_index_ != kCrtcOverflow) return;
    value = static_cast<u8>((crtc_[kCrtcOverflow] & ~0x10) | (value & 0x10));
  }
  crtc_[crtc_index_] = value;
}

u8 VgaRegisters::read_dac_data() {
  const u8 value = palette_[dac_read_index_ * std::size_t{3} + dac_component_];
  if (++dac_component_ == 3) {
    dac_component_ = 0;
    ++dac_read_index_;
  }
  return value;
}

void VgaRegisters::write_dac_data(u8 value) {
  if (dac_component_ < 2) {
    dac_partial_[dac_component_++] = value;
    return;
  }
  u8* entry = &palette_[dac_write_index_ * std::size_t{3}];
  entry[0] = dac_partial_[0];
  entry[1] = dac_partial_[1];
  entry[2] = value;
  dac_component_ = 0;
  ++dac_write_index_;
}

u32 VgaRegisters::vertical_display_lines() const {
  const u32 overflow = crtc_[kCrtcOverflow];
  return (crtc_[kCrtcVDisplayEnd] | (overflow & 0x02) << 7 | (overflow & 0x40) << 3) + 1;
}

u32 VgaRegisters::vertical_total_lines() const {
  const u32 overflow = crtc_[kCrtcOverflow];
  return (crtc_[kCrtcVTotal] | (overflow & 0x01) << 8 | (overflow & 0x20) << 4) + 2;
}

u32 VgaRegisters::line_compare() const {
  return crtc_[kCrtcLineCompare] | (crtc_[kCrtcOverflow] & u32{0x10}) << 4 |
         (crtc_[kCrtcMaxScan] & u32{0x40}) << 3;
}

u8 VgaRegisters::read_status1(u64 now_ns) {
  attr_data_next_ = false;
  const u64 dots = (seq_[kSeqClockMode] & kClockEightDots) != 0 ? 8 : 9;
  const u64 dot_ps = ((misc_output_ >> 2) & 3) == 1 ? 35'310 : 39'722;  // 28.322, 25.175 MHz
  const u64 char_ps = dots * dot_ps << ((seq_[kSeqClockMode] & kClockHalfRate) != 0 ? 1 : 0);
  const u64 line_ns = (crtc_[kCrtcHTotal] + u64{5}) * char_ps / 1000;
  const u32 visible = vertical_display_lines();
  // A CRTC that is not programmed still shows a frame that passes, for whoever waits for one.
  const u64 total = vertical_total_lines() > visible ? vertical_total_lines() : visible + 45;
  const u64 line = now_ns / line_ns % total;
  const u64 character = now_ns % line_ns * 1000 / char_ps;
  u8 status = 0;
  if (line >= visible || character > crtc_[kCrtcHDisplayEnd]) status |= kStatus1DisplayDisabled;
  const u32 overflow = crtc_[kCrtcOverflow];
  const u32 retrace_start =
      crtc_[kCrtcVRetraceStart] | (overflow & 0x04) << 6 | (overflow & 0x80) << 2;
  const u64 retrace_at =
      retrace_start >= visible && retrace_start < total ? retrace_start : visible;
  const u64 retrace_lines = ((crtc_[kCrtcVRetraceEnd] - retrace_at) & 15) + 1;
  if (line >= retrace_at && line < retrace_at + retrace_lines) status |= kStatus1VerticalRetrace;
  return status;
}

}  // namespace emu
