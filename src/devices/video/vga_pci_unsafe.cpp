// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <bit>
#include <cstring>

#include "devices/video/vga_pci.h"

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

Result<std::unique_ptr<VgaPci>> VgaPci::create(PciBus& bus, const Clock& clock,
                                               const Options& options) {
  if (!std::has_single_bit(options.vram_bytes) || options.vram_bytes < kLeastVram ||
      options.vram_bytes > kMostVram) {
    return fail("video memory must be a power of two from 256 KiB to 256 MiB, not {} bytes",
                options.vram_bytes);
  }
  auto vram = GuestRam::create("vga-vram", options.vram_bytes);
  if (!vram) return vram.error();
  std::unique_ptr<GuestRam> rom;
  if (!options.rom.empty()) {
    auto made = make_rom(options.rom);
    if (!made) return made.error();
    rom = std::move(*made);
  }
  return std::unique_ptr<VgaPci>(
      new VgaPci(bus, clock, options.devfn, std::move(*vram), std::move(rom)));
}

VgaPci::VgaPci(PciBus& bus, const Clock& clock, u8 devfn, std::unique_ptr<GuestRam> vram,
               std::unique_ptr<GuestRam> rom)
    : PciDevice(bus, devfn, "vga-pci",
                {.vendor = 0x1234, .device = 0x1111, .revision = 2, .class_code = 0x030000}),
      vram_(std::move(vram)),
      rom_memory_(std::move(rom)),
      vga_(clock, *vram_) {
  add_bar(0, BarKind::kPrefetchable32, vga_.framebuffer());
  add_bar(2, BarKind::kMemory32, vga_.mmio());
  if (rom_memory_ != nullptr) {
    rom_ = Region::rom("vga-rom", *rom_memory_, 0, rom_memory_->size_bytes());
    add_rom_bar(*rom_);
  }
  reset_config();
}

void VgaPci::reset() {
  reset_config();
  vga_.reset();
}

void VgaPci::transfer(StateIo& io) {
  io.section(name(), 1, [&] {
    transfer_config(io);
    vga_.transfer(io);
  });
}

void VgaPci::resumed() {
  resume_config();
  vga_.resumed();
}

}  // namespace emu
