// SPDX-License-Identifier: Apache-2.0
// The board's display card.
#include "devices/video/cirrus_vga.h"
#include "devices/video/vga_pci.h"
#include "devices/video/virtio_vga.h"
#include "machine/pc.h"

namespace emu {
namespace {

constexpr u8 kCardPlace = pci::devfn(2, 0);

}  // namespace

Result<void> Pc::add_video(const MachineConfig& config) {
  if (config.vga == VgaKind::kNone) return {};
  if (config.vga == VgaKind::kVirtio) {
    auto memory = VgaMemory::create(Vga::kDefaultVramBytes, host_.vga_rom);
    if (!memory) return memory.error();
    VirtioVga& card =
        own(std::make_unique<VirtioVga>(*pci_bus_, host_.clock, kCardPlace, std::move(*memory)));
    display_ = &card;
    vram_ = &card.vram();
    place_vga(card.vga());
    return {};
  }
  if (config.vga == VgaKind::kCirrus) {
    auto memory = VgaMemory::create(cirrus::kVramBytes, host_.vga_rom);
    if (!memory) return memory.error();
    CirrusVga& card =
        own(std::make_unique<CirrusVga>(*pci_bus_, host_.clock, kCardPlace, std::move(*memory)));
    display_ = &card;
    vram_ = &card.vram();
    map_->port_root().add(card.ports(), 0x3b0);
    map_->pci_memory().add(card.window(), kVgaHoleBase);
    return {};
  }
  VgaPci::Options options;
  options.devfn = kCardPlace;
  options.rom = host_.vga_rom;
  auto made = VgaPci::create(*pci_bus_, host_.clock, options);
  if (!made) return made.error();
  VgaPci& card = own(std::move(*made));
  display_ = &card.vga();
  vram_ = &card.vram();
  place_vga(card.vga());
  return {};
}

void Pc::place_vga(Vga& vga) {
  map_->port_root().add(vga.ports(), 0x3b0);
  map_->port_root().add(vga.vbe_ports(), 0x1ce);
  map_->pci_memory().add(vga.window(), kVgaHoleBase);
}

}  // namespace emu
