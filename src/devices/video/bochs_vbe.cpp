// SPDX-License-Identifier: Apache-2.0
#include "devices/video/bochs_vbe.h"

#include <algorithm>

namespace emu {

void BochsVbe::reset() {
  index_ = 0;
  regs_ = {};
  regs_[kId] = kIdLatest;
}

void BochsVbe::transfer(StateIo& io) {
  io.section("bochs-vbe", 1, [&] {
    io.field(1, "index", index_);
    io.field(2, "regs", regs_);
  });
  if (!io.loading()) return;
  if (is_enabled()) fit();
  regs_[kBank] = static_cast<u16>(regs_[kBank] % banks());
}

u16 BochsVbe::read(u16 index) const {
  if (index >= kIndexCount) return 0;
  if (index == kVideoMemory64K) return static_cast<u16>(vram_bytes_ >> 16);
  if ((regs_[kEnable] & kGetCaps) != 0) {
    if (index == kXRes) return kMaxXRes;
    if (index == kYRes) return kMaxYRes;
    if (index == kBpp) return 32;
  }
  return regs_[index];
}

u32 BochsVbe::write(u16 index, u16 value) {
  switch (index) {
    case kId:
      if (value >= kIdOldest && value <= kIdLatest) regs_[kId] = value;
      break;
    case kEnable:
      return write_enable(value);
    case kBank:
      regs_[kBank] = static_cast<u16>(value % banks());
      break;
    case kXRes:
    case kYRes:
    case kBpp:
    case kVirtWidth:
    case kXOffset:
    case kYOffset:
      regs_[index] = value;
      if (is_enabled()) fit();
      break;
    default:
      break;
  }
  return 0;
}

u32 BochsVbe::write_enable(u16 value) {
  const bool was_enabled = is_enabled();
  regs_[kEnable] =
      value & (kEnabled | kGetCaps | kEightBitDac | kLinearFrameBuffer | kNoClearMemory);
  if (!is_enabled()) {
    regs_[kBank] = 0;
    return 0;
  }
  if (was_enabled) return 0;
  regs_[kVirtWidth] = regs_[kXOffset] = regs_[kYOffset] = 0;
  regs_[kBank] = 0;
  fit();
  return (value & kNoClearMemory) != 0 ? 0 : pitch_bytes() * height();
}

void BochsVbe::fit() {
  const u16 bpp = regs_[kBpp];
  if (bpp != 4 && bpp != 15 && bpp != 16 && bpp != 24 && bpp != 32) regs_[kBpp] = 8;
  const auto eights = [](u16 pixels) { return static_cast<u16>(std::min(pixels, kMaxXRes) & ~7u); };
  regs_[kXRes] = std::max<u16>(eights(regs_[kXRes]), 8);
  regs_[kVirtWidth] = std::max(eights(regs_[kVirtWidth]), regs_[kXRes]);
  const u32 lines = vram_bytes_ / pitch_bytes();
  regs_[kVirtHeight] = static_cast<u16>(std::min(lines, 0xFFFFu));
  const u32 most_lines = std::max(std::min<u32>(lines, kMaxYRes), 1u);
  regs_[kYRes] = static_cast<u16>(std::clamp<u32>(regs_[kYRes], 1, most_lines));
  regs_[kXOffset] = std::min(regs_[kXOffset], kMaxXRes);
  const auto fits = [this] {
    return u64{start_bytes()} + u64{pitch_bytes()} * height() <= vram_bytes_;
  };
  if (!fits()) regs_[kYOffset] = 0;
  if (!fits()) regs_[kXOffset] = 0;
}

// Planar modes have four bytes of memory behind each address.
u32 BochsVbe::banks() const {
  return std::max((vram_bytes_ >> 16) / (regs_[kBpp] == 4 ? 4 : 1), 1u);
}

u32 BochsVbe::pitch_bytes() const {
  return regs_[kVirtWidth] * stored_bits() / 8;
}

u32 BochsVbe::start_bytes() const {
  return regs_[kXOffset] * stored_bits() / 8 + regs_[kYOffset] * pitch_bytes();
}

}  // namespace emu
