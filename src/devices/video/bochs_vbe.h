// SPDX-License-Identifier: Apache-2.0
// The Bochs VBE ("dispi") registers: index port 1CEh, data port 1CFh (and 1D0h).
// Source: Bochs iodev/display/vga.h and "bochs VBE display interface" text; QEMU
// docs/specs/standard-vga.rst; OSDev "Bochs VBE Extensions".
// Threads: the machine lock is held by every caller.
#pragma once

#include <array>

#include "base/state_io.h"
#include "base/types.h"
#include "devices/video/super_vga.h"

namespace emu {

class BochsVbe final : public SuperVga {
 public:
  enum Index : u16 {
    kId,
    kXRes,
    kYRes,
    kBpp,
    kEnable,
    kBank,
    kVirtWidth,
    kVirtHeight,
    kXOffset,
    kYOffset,
    kVideoMemory64K,
    kIndexCount
  };
  static constexpr u16 kIdLatest = 0xB0C5;
  static constexpr u16 kIdOldest = 0xB0C0;
  static constexpr u16 kEnabled = 0x01;
  static constexpr u16 kGetCaps = 0x02;
  static constexpr u16 kEightBitDac = 0x20;
  static constexpr u16 kLinearFrameBuffer = 0x40;
  static constexpr u16 kNoClearMemory = 0x80;
  static constexpr u16 kMaxXRes = 8192;
  static constexpr u16 kMaxYRes = 8192;

  // `vram_bytes` is a multiple of 64 KiB.
  explicit BochsVbe(u32 vram_bytes) : vram_bytes_(vram_bytes) { reset(); }
  void reset();
  void transfer(StateIo& io);

  [[nodiscard]] u16 index() const { return index_; }
  void set_index(u16 index) { index_ = index; }
  // Registers that do not exist read as zero and swallow writes.
  [[nodiscard]] u16 read(u16 index) const;
  // Returns how many bytes at the start of video memory are to be cleared: a mode was set.
  [[nodiscard]] u32 write(u16 index, u16 value);

  [[nodiscard]] bool is_enabled() const override { return (regs_[kEnable] & kEnabled) != 0; }
  [[nodiscard]] bool has_eight_bit_dac() const override {
    return (regs_[kEnable] & kEightBitDac) != 0;
  }
  [[nodiscard]] u32 width() const override { return regs_[kXRes]; }
  [[nodiscard]] u32 height() const override { return regs_[kYRes]; }
  [[nodiscard]] u32 bits_per_pixel() const override { return regs_[kBpp]; }
  [[nodiscard]] u32 pitch_bytes() const override;
  [[nodiscard]] u32 start_bytes() const override;
  // What the legacy window's bank adds to an address there.
  [[nodiscard]] u32 bank_bytes() const { return u32{regs_[kBank]} << 16; }

 private:
  // Bits a pixel takes in memory.
  [[nodiscard]] u32 stored_bits() const { return regs_[kBpp] == 15 ? 16 : regs_[kBpp]; }
  [[nodiscard]] u32 banks() const;
  // Brings the registers of an enabled mode into what memory allows.
  void fit();
  [[nodiscard]] u32 write_enable(u16 value);

  // wires
  const u32 vram_bytes_;
  // state (saved)
  u16 index_;
  std::array<u16, kIndexCount> regs_;
};

}  // namespace emu
