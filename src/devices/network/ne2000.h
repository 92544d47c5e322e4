// SPDX-License-Identifier: Apache-2.0
// NE2000 cards: on the ISA bus, and Realtek's RTL8029AS, the same on PCI.
// Source: Realtek RTL8029AS data sheet; Novell's card as the DP8390's data sheet has it.
// Threads: the machine lock is held by every caller.
// Not modelled: the RTL8029's EEPROM and Plug and Play registers (page 3).
#pragma once

#include <memory>

#include "devices/network/dp8390.h"
#include "devices/pci/pci_device.h"

namespace emu {

class Ne2000Pci final : public PciDevice {
 public:
  Ne2000Pci(PciBus& bus, u8 devfn, std::string name, const MacAddress& mac, NetBackend& backend);
  void reset() override;
  void transfer(StateIo& io) override;
  void resumed() override;
  [[nodiscard]] Dp8390& chip() { return chip_; }

 private:
  // parts
  Dp8390 chip_;
  std::unique_ptr<Region> io_bar_;
};

class Ne2000Isa final : public Device {
 public:
  Ne2000Isa(std::string name, const MacAddress& mac, NetBackend& backend, IrqLine irq);
  [[nodiscard]] std::string_view name() const override { return name_; }
  void reset() override { chip_.reset(); }
  void transfer(StateIo& io) override;
  void resumed() override;
  [[nodiscard]] Dp8390& chip() { return chip_; }

 private:
  // wires
  const std::string name_;
  IrqLine irq_;
  // parts
  Dp8390 chip_;
};

}  // namespace emu
