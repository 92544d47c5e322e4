// SPDX-License-Identifier: Apache-2.0
// A VGA on a bench: memory and port space, a clock, and the mode tables of the IBM video BIOS.
#pragma once

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "devices/video/vga.h"

namespace emu {

// Register values as the IBM VGA BIOS loads them (IBM VGA technical reference, BIOS tables).
struct VgaModeTable {
  u8 misc;
  std::array<u8, 5> seq;
  std::array<u8, 25> crtc;
  std::array<u8, 9> gfx;
  std::array<u8, 21> attr;
};

inline constexpr VgaModeTable kMode03{
    0x67,
    {0x03, 0x00, 0x03, 0x00, 0x02},
    {0x5F, 0x4F, 0x50, 0x82, 0x55, 0x81, 0xBF, 0x1F, 0x00, 0x4F, 0x0D, 0x0E, 0x00,
     0x00, 0x00, 0x00, 0x9C, 0x8E, 0x8F, 0x28, 0x1F, 0x96, 0xB9, 0xA3, 0xFF},
    {0, 0, 0, 0, 0, 0x10, 0x0E, 0x00, 0xFF},
    {0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x14, 0x07, 0x38, 0x39, 0x3A,
     0x3B, 0x3C, 0x3D, 0x3E, 0x3F, 0x0C, 0x00, 0x0F, 0x08, 0x00}};
inline constexpr VgaModeTable kMode04{
    0x63,
    {0x03, 0x09, 0x03, 0x00, 0x02},
    {0x2D, 0x27, 0x28, 0x90, 0x2B, 0x80, 0xBF, 0x1F, 0x00, 0xC1, 0x00, 0x00, 0x00,
     0x00, 0x00, 0x00, 0x9C, 0x8E, 0x8F, 0x14, 0x00, 0x96, 0xB9, 0xA2, 0xFF},
    {0, 0, 0, 0, 0, 0x30, 0x0F, 0x0F, 0xFF},
    {0x00, 0x13, 0x15, 0x17, 0x02, 0x04, 0x06, 0x07, 0x10, 0x11, 0x12,
     0x13, 0x14, 0x15, 0x16, 0x17, 0x01, 0x00, 0x03, 0x00, 0x00}};
inline constexpr VgaModeTable kMode06{
    0x63,
    {0x03, 0x01, 0x01, 0x00, 0x06},
    {0x5F, 0x4F, 0x50, 0x82, 0x54, 0x80, 0xBF, 0x1F, 0x00, 0xC1, 0x00, 0x00, 0x00,
     0x00, 0x00, 0x00, 0x9C, 0x8E, 0x8F, 0x28, 0x00, 0x96, 0xB9, 0xC2, 0xFF},
    {0, 0, 0, 0, 0, 0x00, 0x0D, 0x0F, 0xFF},
    {0x00, 0x17, 0x17, 0x17, 0x17, 0x17, 0x17, 0x17, 0x17, 0x17, 0x17,
     0x17, 0x17, 0x17, 0x17, 0x17, 0x01, 0x00, 0x01, 0x00, 0x00}};
inline constexpr VgaModeTable kMode0D{
    0x63,
    {0x03, 0x09, 0x0F, 0x00, 0x06},
    {0x2D, 0x27, 0x28, 0x90, 0x2B, 0x80, 0xBF, 0x1F, 0x00, 0xC0, 0x00, 0x00, 0x00,
     0x00, 0x00, 0x00, 0x9C, 0x8E, 0x8F, 0x14, 0x00, 0x96, 0xB9, 0xE3, 0xFF},
    {0, 0, 0, 0, 0, 0x00, 0x05, 0x0F, 0xFF},
    {0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x10, 0x11, 0x12,
     0x13, 0x14, 0x15, 0x16, 0x17, 0x01, 0x00, 0x0F, 0x00, 0x00}};
inline constexpr VgaModeTable kMode12{
    0xE3,
    {0x03, 0x01, 0x0F, 0x00, 0x06},
    {0x5F, 0x4F, 0x50, 0x82, 0x54, 0x80, 0x0B, 0x3E, 0x00, 0x40, 0x00, 0x00, 0x00,
     0x00, 0x00, 0x00, 0xEA, 0x8C, 0xDF, 0x28, 0x00, 0xE7, 0x04, 0xE3, 0xFF},
    {0, 0, 0, 0, 0, 0x00, 0x05, 0x0F, 0xFF},
    {0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x14, 0x07, 0x38, 0x39, 0x3A,
     0x3B, 0x3C, 0x3D, 0x3E, 0x3F, 0x01, 0x00, 0x0F, 0x00, 0x00}};
inline constexpr VgaModeTable kMode13{
    0x63,
    {0x03, 0x01, 0x0F, 0x00, 0x0E},
    {0x5F, 0x4F, 0x50, 0x82, 0x54, 0x80, 0xBF, 0x1F, 0x00, 0x41, 0x00, 0x00, 0x00,
     0x00, 0x00, 0x00, 0x9C, 0x8E, 0x8F, 0x28, 0x40, 0x96, 0xB9, 0xA3, 0xFF},
    {0, 0, 0, 0, 0, 0x40, 0x05, 0x0F, 0xFF},
    {0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0A,
     0x0B, 0x0C, 0x0D, 0x0E, 0x0F, 0x41, 0x00, 0x0F, 0x00, 0x00}};

class VgaBench {
 public:
  static constexpr u64 kFramebuffer = 0xE000'0000;
  static constexpr u64 kMmio = 0xF000'0000;

  explicit VgaBench(u64 vram_bytes = 4 * kMiB) : vram(make_ram(vram_bytes)), vga(clock, *vram) {
    memory->add(vga.window(), 0xA0000);
    memory->add(vga.framebuffer(), kFramebuffer);
    memory->add(vga.mmio(), kMmio);
    ports->add(vga.ports(), 0x3B0);
    ports->add(vga.vbe_ports(), 0x1CE);
    vga.reset();
  }

  void out8(u16 port, u32 value) { port_space.store(port, 1, value); }
  void out16(u16 port, u32 value) { port_space.store(port, 2, value); }
  u32 in8(u16 port) { return static_cast<u32>(port_space.load(port, 1)); }
  // An indexed register, written as software does: index and value in one word.
  void set(u16 port, u32 index, u32 value) { out16(port, index | value << 8); }
  u32 get(u16 port, u32 index) {
    out8(port, index);
    return in8(static_cast<u16>(port + 1));
  }
  void poke(u64 address, u32 value) { memory_space.store(address, 1, value); }
  void poke16(u64 address, u32 value) { memory_space.store(address, 2, value); }
  void poke32(u64 address, u32 value) { memory_space.store(address, 4, value); }
  u32 peek(u64 address) { return static_cast<u32>(memory_space.load(address, 1)); }
  u32 peek32(u64 address) { return static_cast<u32>(memory_space.load(address, 4)); }

  void set_attr(u32 index, u32 value) {
    static_cast<void>(in8(0x3DA));
    out8(0x3C0, index);
    out8(0x3C0, value);
  }
  void video_on() {
    static_cast<void>(in8(0x3DA));
    out8(0x3C0, 0x20);
  }

  void set_mode(const VgaModeTable& mode) {
    out8(0x3C2, mode.misc);
    for (u32 i = 0; i < mode.seq.size(); ++i) set(0x3C4, i, mode.seq[i]);
    set(0x3D4, 0x11, 0);  // unlock 0-7
    for (u32 i = 0; i < mode.crtc.size(); ++i) set(0x3D4, i, mode.crtc[i]);
    for (u32 i = 0; i < mode.gfx.size(); ++i) set(0x3CE, i, mode.gfx[i]);
    for (u32 i = 0; i < mode.attr.size(); ++i) set_attr(i, mode.attr[i]);
    load_ega_palette();
    video_on();
  }

  // DAC entry i is the EGA's colour i: bits 5-0 are the weak and strong red, green, blue.
  void load_ega_palette() {
    out8(0x3C8, 0);
    for (u32 i = 0; i < 64; ++i) {
      for (const u32 shift : {2u, 1u, 0u}) {
        const u32 level = (i >> shift & 1) * 2 + (i >> (shift + 3) & 1);
        out8(0x3C9, level * 21);
      }
    }
  }

  // As the BIOS loads it for 200-line modes: bit 4 makes the eight colours brighter.
  void load_cga_palette() {
    out8(0x3C8, 0);
    for (u32 i = 0; i < 64; ++i) {
      for (const u32 shift : {2u, 1u, 0u}) out8(0x3C9, (i >> shift & 1) * 42 + (i >> 4 & 1) * 21);
    }
  }

  void set_vbe(u32 index, u32 value) {
    out16(0x1CE, index);
    out16(0x1CF, value);
  }
  u32 get_vbe(u32 index) {
    out16(0x1CE, index);
    return static_cast<u32>(port_space.load(0x1CF, 2));
  }
  void set_vbe_mode(u32 width, u32 height, u32 bits, u32 flags = 0x41) {
    set_vbe(4, 0);
    set_vbe(1, width);
    set_vbe(2, height);
    set_vbe(3, bits);
    set_vbe(4, flags);
    out8(0x3C2, 0x67);
    video_on();
  }

  // The picture now, for a viewer that saw nothing before.
  Frame picture() {
    Frame frame;
    vga.render(frame);
    return frame;
  }

  FakeClock clock;
  std::unique_ptr<GuestRam> vram;
  Vga vga;
  std::unique_ptr<Region> memory = Region::container("memory", u64{1} << 32);
  std::unique_ptr<Region> ports = Region::container("ports", 0x10000);
  AddressSpace memory_space{*memory};
  AddressSpace port_space{*ports};

 private:
  static std::unique_ptr<GuestRam> make_ram(u64 bytes) {
    auto ram = GuestRam::create("vram", bytes);
    EXPECT_TRUE(ram);
    return std::move(*ram);
  }
};

// FNV-1a of the pixels.
inline u64 picture_hash(const Frame& frame) {
  u64 hash = 0xCBF29CE484222325;
  for (const u32 pixel : frame.pixels) hash = (hash ^ pixel) * 0x100000001B3;
  return hash;
}

// With EMU_TEST_PICTURES=folder in the environment, leaves the frame there as a PPM to look at.
inline void save_picture(const Frame& frame, const std::string& name) {
  const char* folder = std::getenv("EMU_TEST_PICTURES");
  if (folder == nullptr) return;
  std::FILE* file = std::fopen((std::string(folder) + "/" + name + ".ppm").c_str(), "wb");
  if (file == nullptr) return;
  std::fprintf(file, "P6\n%u %u\n255\n", frame.width, frame.height);
  for (const u32 pixel : frame.pixels) {
    for (const int shift : {16, 8, 0}) std::fputc(static_cast<int>(pixel >> shift & 255), file);
  }
  std::fclose(file);
}

}  // namespace emu
