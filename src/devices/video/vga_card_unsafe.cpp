// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <bit>
#include <cstring>

#include "devices/video/vga_card.h"

namespace emu {
namespace {

constexpr u64 kLeastVram = 256 * kKiB;
constexpr u64 kMostVram = 256 * kMiB;

// The ROM's image, padded to a power of two of whole pages, as a BAR wants it.
Result<std::unique_ptr<GuestRam>> make_rom(std::span<const u8> image) {
  const u64 size = std::max<u64>(std::bit_ceil(image.size()), kPageBytes);
  auto rom = GuestRam::create("vga-rom", size);
  // SAFETY: the block was just made, with at least the image's size; nobody else knows it yet.
  if (rom) std::memcpy((*rom)->host(), image.data(), image.size());
  return rom;
}

}  // namespace

Result<VgaMemory> VgaMemory::create(u64 vram_bytes, std::span<const u8> rom) {
  if (!std::has_single_bit(vram_bytes) || vram_bytes < kLeastVram || vram_bytes > kMostVram) {
    return fail("video memory must be a power of two from 256 KiB to 256 MiB, not {} bytes",
                vram_bytes);
  }
  VgaMemory memory;
  auto vram = GuestRam::create("vga-vram", vram_bytes);
  if (!vram) return vram.error();
  memory.vram = std::move(*vram);
  if (!rom.empty()) {
    auto made = make_rom(rom);
    if (!made) return made.error();
    memory.rom = std::move(*made);
  }
  return memory;
}

}  // namespace emu
