// SPDX-License-Identifier: Apache-2.0
#include "devices/video/virtio_vga.h"

namespace emu {
namespace {

constexpr u32 kClassVga = 0x030000;

}  // namespace

VirtioVga::VirtioVga(PciBus& bus, const Clock& clock, u8 devfn, VgaMemory memory)
    : VirtioPci(bus, devfn, "virtio-vga", std::make_unique<VirtioGpu>(bus.wires().dma, kClassVga),
                Interface::kModern),
      memory_(std::move(memory)),
      vga_(clock, *memory_.vram),
      gpu_(static_cast<VirtioGpu&>(device())) {
  add_bar(0, BarKind::kPrefetchable32, vga_.framebuffer());
  add_bar(2, BarKind::kMemory32, vga_.mmio());
  if (memory_.rom != nullptr) {
    rom_ = Region::rom("vga-rom", *memory_.rom, 0, memory_.rom->size_bytes());
    add_rom_bar(*rom_);
  }
  reset_config();
}

void VirtioVga::reset() {
  VirtioPci::reset();
  vga_.reset();
}

void VirtioVga::transfer(StateIo& io) {
  io.section("virtio-vga", 1, [&] {
    VirtioPci::transfer(io);
    vga_.transfer(io);
  });
}

void VirtioVga::resumed() {
  VirtioPci::resumed();
  vga_.resumed();
}

bool VirtioVga::render(Frame& frame) {
  if (gpu_.is_showing()) return gpu_.render(frame);
  if (frame.sequence >= VirtioGpu::kFirstSequence) frame.sequence = 0;
  return vga_.render(frame);
}

bool VirtioVga::text(TextScreen& screen) {
  return !gpu_.is_showing() && vga_.text(screen);
}

void VirtioVga::prefer_size(u32 width, u32 height) {
  vga_.prefer_size(width, height);
  gpu_.set_preferred_size(width, height);
}

}  // namespace emu
