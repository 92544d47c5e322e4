// SPDX-License-Identifier: Apache-2.0
// A Cirrus GD5446 where the machine places it, with its frame buffer and registers in memory.
#pragma once

#include "devices/pci/pci_rig.h"
#include "devices/video/cirrus_vga.h"

namespace emu {

struct CirrusRig : PciRig {
  static constexpr u8 kCard = pci::devfn(2, 0);
  static constexpr u64 kLinear = 0xe0000000, kMmio = 0xf0000000, kWindow = 0xa0000;

  explicit CirrusRig(const Clock& clock) {
    card = std::make_unique<CirrusVga>(bus, clock, kCard,
                                       std::move(*VgaMemory::create(cirrus::kVramBytes, {})));
    memory->add(card->window(), kWindow);
    ports->add(card->ports(), 0x3b0);
    power_up();
  }
  void power_up() {
    write(kCard, 0x10, kLinear);
    write(kCard, 0x14, kMmio);
    write(kCard, 4, 3, 2);
  }
  void out(u16 port, u8 value) { port_space.store(port, 1, value); }
  u8 in(u16 port) { return static_cast<u8>(port_space.load(port, 1)); }
  void sr(u8 index, u8 value) { out(0x3c4, index), out(0x3c5, value); }
  void gr(u8 index, u8 value) { out(0x3ce, index), out(0x3cf, value); }
  void cr(u8 index, u8 value) { out(0x3d4, index), out(0x3d5, value); }
  void hidden_dac(u8 value) {
    for (int i = 0; i < 4; ++i) static_cast<void>(in(0x3c6));
    out(0x3c6, value);
  }
  // 640x480 with `depth` as SR7 has it, and `pitch` bytes a row.
  void mode(u8 depth, u32 pitch) {
    out(0x3c2, 0xe3);
    static_cast<void>(in(0x3da));
    out(0x3c0, 0x20);
    cr(0x11, 0);
    cr(0x01, 79);
    cr(0x12, 0xdf);
    cr(0x07, 0x02);
    cr(0x09, 0x40);
    cr(0x0c, 0), cr(0x0d, 0);
    cr(0x13, static_cast<u8>(pitch / 8)), cr(0x1b, static_cast<u8>(pitch / 8 >> 4 & 0x10));
    gr(6, 5);
    sr(4, 0x0e);
    sr(7, static_cast<u8>(1 | depth));
  }
  u8 vram(u64 at) { return static_cast<u8>(memory_space.load(kLinear + at, 1)); }
  void vram(u64 at, u8 value) { memory_space.store(kLinear + at, 1, value); }
  void words(u8 index, u32 value, unsigned bytes) {
    for (unsigned i = 0; i < bytes; ++i)
      gr(static_cast<u8>(index + i), static_cast<u8>(value >> 8 * i));
  }
  struct Blit {
    u32 width, height, to_pitch, from_pitch, to, from;
    u8 mode, rop = 0x0d, extensions = 0;
  };
  void blit(const Blit& b) {
    words(0x20, b.width - 1, 2), words(0x22, b.height - 1, 2);
    words(0x24, b.to_pitch, 2), words(0x26, b.from_pitch, 2);
    words(0x28, b.to, 3), words(0x2c, b.from, 3);
    gr(0x2f, 0), gr(0x30, b.mode), gr(0x32, b.rop), gr(0x33, b.extensions);
    gr(0x31, 2);
  }
  std::unique_ptr<CirrusVga> card;
};

}  // namespace emu
