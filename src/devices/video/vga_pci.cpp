// SPDX-License-Identifier: Apache-2.0
#include "devices/video/vga_pci.h"

namespace emu {

Result<std::unique_ptr<VgaPci>> VgaPci::create(PciBus& bus, const Clock& clock,
                                               const Options& options) {
  auto memory = VgaMemory::create(options.vram_bytes, options.rom);
  if (!memory) return memory.error();
  return std::unique_ptr<VgaPci>(new VgaPci(bus, clock, options.devfn, std::move(*memory)));
}

VgaPci::VgaPci(PciBus& bus, const Clock& clock, u8 devfn, VgaMemory memory)
    : PciDevice(bus, devfn, "vga-pci",
                {.vendor = 0x1234, .device = 0x1111, .revision = 2, .class_code = 0x030000}),
      memory_(std::move(memory)),
      vga_(clock, *memory_.vram) {
  add_bar(0, BarKind::kPrefetchable32, vga_.framebuffer());
  add_bar(2, BarKind::kMemory32, vga_.mmio());
  if (memory_.rom != nullptr) {
    rom_ = Region::rom("vga-rom", *memory_.rom, 0, memory_.rom->size_bytes());
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
