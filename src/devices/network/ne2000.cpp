// SPDX-License-Identifier: Apache-2.0
#include "devices/network/ne2000.h"

namespace emu {

Ne2000Pci::Ne2000Pci(PciBus& pci, u8 devfn, std::string name, const MacAddress& mac,
                     NetBackend& backend)
    : PciDevice(pci, devfn, std::move(name),
                {.vendor = 0x10ec, .device = 0x8029, .class_code = 0x020000, .interrupt_pin = 1}),
      chip_(mac, backend, [this](bool level) { set_intx(level); }),
      io_bar_(Region::mmio("ne2000", Dp8390::kWindowBytes, chip_, Dp8390::kSizes)) {
  add_bar(0, BarKind::kIo, *io_bar_);
}

void Ne2000Pci::reset() {
  reset_config();
  chip_.reset();
}

void Ne2000Pci::transfer(StateIo& io) {
  io.section(name(), 1, [&] {
    transfer_config(io);
    chip_.transfer(io);
  });
}

void Ne2000Pci::resumed() {
  resume_config();
  chip_.resumed();
}

Ne2000Isa::Ne2000Isa(std::string name, const MacAddress& mac, NetBackend& backend, IrqLine irq)
    : name_(std::move(name)),
      irq_(irq),
      chip_(mac, backend, [this](bool level) { irq_.set(level); }) {}

void Ne2000Isa::transfer(StateIo& io) {
  io.section(name(), 1, [&] { chip_.transfer(io); });
}

void Ne2000Isa::resumed() {
  irq_.restore(chip_.interrupt_level());
  chip_.resumed();
}

}  // namespace emu
