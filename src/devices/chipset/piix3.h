// SPDX-License-Identifier: Apache-2.0
// Intel PIIX3 (82371SB): the ISA bridge (function 0: PCI interrupt steering, reset control) and
// the IDE function's PCI side (function 1).
// Source: Intel 82371FB/82371SB (PIIX/PIIX3) data sheet (290550), 2.2, 2.3, 2.5.
// Threads: the machine lock is held by every caller.
// Not modelled: ISA timing, chip-select and X-bus decode enables, the IDE decode
// enables in IDETIM (the legacy ports always answer), IDE timing.
#pragma once

#include <array>
#include <functional>
#include <memory>

#include "devices/pci/pci_device.h"

namespace emu {

// The ISA bridge, function 0 of its device. It is the bus's interrupt router: PIRQA..PIRQD go to
// the ISA interrupts that registers 60h-63h name, level-triggered (the 8259's ELCR says so too).
// It also holds the reset control register, port CF9h: an IoHandler of which offset 1 is CF9h, as
// PciConfigPorts passes it on.
class Piix3Isa final : public PciDevice, public IrqSink, public IoHandler {
 public:
  // Interrupt n of the 8259 pair and of the I/O APIC; sources other than PCI are OR-ed outside.
  using IsaLines = std::array<IrqLine, 16>;

  // `request_reset` is called when the guest asks for a reset of the whole machine; it must only
  // note the request, for the caller is inside a port write.
  Piix3Isa(PciBus& bus, unsigned device, const IsaLines& isa, std::function<void()> request_reset);
  ~Piix3Isa() override;

  // The interrupt that PIRQ `pirq` (0..3) is steered to, or -1.
  [[nodiscard]] int route(unsigned pirq) const;

  void reset() override;
  void transfer(StateIo& io) override;
  void resumed() override;

  // IrqSink: inputs 0..3 are PIRQA..PIRQD.
  void set_irq(unsigned input, bool active) override;
  void restore_irq(unsigned input, bool active) override;
  // IoHandler: ports from CF8h on.
  [[nodiscard]] u64 read(u64 offset, unsigned size) override;
  void write(u64 offset, unsigned size, u64 value) override;

 private:
  void config_written(HookSet hooks) override;
  [[nodiscard]] u16 isa_levels() const;
  void update_lines();

  // wires
  IsaLines isa_;
  const std::function<void()> request_reset_;
  // state (saved)
  u8 reset_control_ = 0;
  // scratch (rebuilt: the bus's functions restore their levels)
  u8 pirq_levels_ = 0;
  u16 driven_ = 0;
};

// The IDE function: a header, IDE timing registers that only remember, and BAR 4 with the 16
// bytes of bus-master registers of the two channels. The legacy ports 1F0h, 3F6h, 170h and 376h
// are fixed, and so are interrupts 14 and 15.
class Piix3Ide final : public PciDevice {
 public:
  static constexpr u64 kBusMasterBytes = 16;

  // `bus_master` (kBusMasterBytes of registers) must outlive this.
  Piix3Ide(PciBus& bus, unsigned device, IoHandler& bus_master);

 private:
  // parts
  std::unique_ptr<Region> window_;
};

}  // namespace emu
