// SPDX-License-Identifier: Apache-2.0
#include "devices/video/vga_planes.h"

#include <bit>

namespace emu {

using namespace vga;

namespace {

// Bit p of `planes` (0..15) becomes byte p, all ones.
constexpr u32 expand(u32 planes) {
  const u32 spread = (planes & 1) | (planes & 2) << 7 | (planes & 4) << 14 | (planes & 8) << 21;
  return spread * 0xFF;
}
constexpr u32 repeat(u8 value) {
  return value * 0x01010101u;
}

}  // namespace

void VgaPlanes::transfer(StateIo& io) {
  io.section("vga-planes", 1, [&] { io.field(1, "latches", latches_); });
}

u8 VgaPlanes::read(u32 address) {
  u32 plane = registers_.gfx(kGfxReadMap) & 3;
  u32 word = address;
  if (mapping_.chain4) {
    plane = address & 3;
    word = address >> 2;
  } else if ((registers_.gfx(kGfxMode) & kModeOddEven) != 0) {
    plane = (plane & 2) | (address & 1);
    word = address >> 1;
  }
  word &= mapping_.word_mask;
  if (u64{word} * 4 >= vram_.size_bytes()) return 0xFF;
  latches_ = vram_.word(u64{word} * 4);
  if ((registers_.gfx(kGfxMode) & kModeReadCompare) == 0) {
    return static_cast<u8>(latches_ >> (plane * 8));
  }
  u32 differs = (latches_ ^ expand(registers_.gfx(kGfxColorCompare))) &
                expand(registers_.gfx(kGfxColorDontCare));
  differs |= differs >> 16;
  differs |= differs >> 8;
  return static_cast<u8>(~differs);
}

void VgaPlanes::write(u32 address, u8 value) {
  u32 planes = registers_.seq(kSeqMapMask);
  u32 word = address;
  if (mapping_.chain4) {
    planes &= 1u << (address & 3);
    word = address >> 2;
  } else if ((registers_.seq(kSeqMemoryMode) & kMemoryNoOddEven) == 0) {
    planes &= (address & 1) != 0 ? 0xAu : 0x5u;
    word = address >> 1;
  }
  word &= mapping_.word_mask;
  if (planes != 0) vram_.update_word(u64{word} * 4, expand(planes), combine(value));
}

u32 VgaPlanes::combine(u8 value) const {
  const u32 mode = registers_.gfx(kGfxMode) & kModeWriteMask;
  if (mode == 1) return latches_;
  const u32 set_reset = expand(registers_.gfx(kGfxSetReset));
  const u8 rotated = std::rotr(value, registers_.gfx(kGfxRotate) & 7);
  u32 bit_mask = repeat(registers_.gfx(kGfxBitMask));
  u32 data;
  if (mode == 0) {
    const u32 enabled = expand(registers_.gfx(kGfxEnableSetReset));
    data = (repeat(rotated) & ~enabled) | (set_reset & enabled);
  } else if (mode == 2) {
    data = expand(value & 15u);
  } else {
    data = set_reset;
    bit_mask &= repeat(rotated);
  }
  switch ((registers_.gfx(kGfxRotate) >> 3) & 3) {
    case 1:
      data &= latches_;
      break;
    case 2:
      data |= latches_;
      break;
    case 3:
      data ^= latches_;
      break;
    default:
      break;
  }
  return (data & bit_mask) | (latches_ & ~bit_mask);
}

bool VgaPlanes::is_plain_chain4() const {
  return mapping_.chain4 && registers_.seq(kSeqMapMask) == 15 &&
         (registers_.gfx(kGfxMode) & (kModeWriteMask | kModeReadCompare)) == 0 &&
         registers_.gfx(kGfxEnableSetReset) == 0 && registers_.gfx(kGfxRotate) == 0 &&
         registers_.gfx(kGfxBitMask) == 0xFF;
}

}  // namespace emu
