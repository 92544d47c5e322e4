// SPDX-License-Identifier: Apache-2.0
// The VGA's planar memory as the processor sees it through A0000h-BFFFFh: latches, write modes 0-3,
// read modes, odd/even and chain-4 addressing.
// Source: IBM VGA technical reference; FreeVGA "Accessing the VGA Display Memory".
// Layout: byte p of 32-bit word a is address a of plane p. Odd/even and chain-4 addresses are
// stored compactly (words address/2 and address/4), so that 256-colour modes are linear memory;
// the picture is fetched the same way. Only a guest that fills memory in one addressing mode and
// shows it in another can tell.
// Threads: the machine lock is held by every caller.
#pragma once

#include "base/state_io.h"
#include "devices/video/vga_registers.h"
#include "devices/video/video_memory_unsafe.h"

namespace emu {

class VgaPlanes {
 public:
  VgaPlanes(VideoMemory vram, const VgaRegisters& registers) : vram_(vram), registers_(registers) {}

  void reset() { latches_ = 0; }
  void transfer(StateIo& io);

  // How addresses reach the planes; a super-VGA mode overrides the registers.
  struct Mapping {
    bool chain4 = false;
    u32 word_mask = 0xFFFF;  // 64 KiB a plane, or all of the memory
    bool operator==(const Mapping&) const = default;
  };
  void set_mapping(const Mapping& mapping) { mapping_ = mapping; }

  // `address` counts bytes in the processor's window, bank included.
  [[nodiscard]] u8 read(u32 address);
  void write(u32 address, u8 value);

  // Whether chain-4 reads and writes are plain memory accesses now, as the registers stand.
  [[nodiscard]] bool is_plain_chain4() const;

 private:
  // What the write modes make of a byte: four plane bytes, the bit mask applied.
  [[nodiscard]] u32 combine(u8 value) const;

  const VideoMemory vram_;
  const VgaRegisters& registers_;
  // state (saved)
  u32 latches_ = 0;
  // scratch (rebuilt)
  Mapping mapping_;
};

}  // namespace emu
