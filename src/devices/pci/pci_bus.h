// SPDX-License-Identifier: Apache-2.0
// One PCI bus: configuration space by device and function, and INTx wires to the interrupt router.
// Source: PCI Local Bus Specification 3.0, 2.2.6 (INTx), 3.2.2.3 (configuration mechanism 1).
// Threads: the machine lock is held by every caller.
// Not modelled: buses behind bridges, so type 1 configuration cycles find nobody.
#pragma once

#include <array>
#include <bitset>

#include "devices/device.h"
#include "devices/irq_line.h"
#include "devices/pci/pci_function.h"
#include "memory/address_space.h"

namespace emu {

// Bus number 0: up to 32 devices of 8 functions. It routes INTx pins to four PIRQ wires, of which
// each is active while any function drives it.
class PciBus final : public IrqSink {
 public:
  static constexpr unsigned kPirqCount = 4;

  // What functions on the bus reach.
  struct Wires {
    Region& memory;       // container in which memory BARs are placed at their bus address
    Region& ports;        // container in which I/O BARs are placed
    AddressSpace& dma;    // what bus masters read and write
    MsiSink& interrupts;  // where message-signalled interrupts go
  };
  explicit PciBus(const Wires& wires) : wires_(wires) {}

  [[nodiscard]] const Wires& wires() const { return wires_; }

  // Puts a function at `devfn` (device << 3 | function), which must be free.
  void attach(u8 devfn, PciFunction& function);
  void detach(u8 devfn);
  // The first device number from `first` on without any function, or 32 if the bus is full.
  [[nodiscard]] unsigned free_device(unsigned first = 2) const;

  // One configuration cycle: `bus` 0..255; `offset` 0..255, naturally aligned for `size` (1, 2, 4).
  // Nobody there reads as all ones, writes vanish.
  [[nodiscard]] u32 read_config(u8 bus, u8 devfn, u32 offset, unsigned size);
  void write_config(u8 bus, u8 devfn, u32 offset, unsigned size, u32 value);

  // Where the PIRQ wires (inputs 0..3 = PIRQA..PIRQD) end; nullptr: nowhere.
  void set_router(IrqSink* router) { router_ = router; }
  // The wire of a function's interrupt pin, 1 (INTA) to 4 (INTD).
  [[nodiscard]] IrqLine intx_line(u8 devfn, unsigned pin);
  // The PIRQ wire a pin ends on: the boards' usual rotation, as QEMU's and SeaBIOS's i440FX have
  // it: (device + pin - 2) mod 4 for pins counted from 1, so device 1 INTA is PIRQA.
  [[nodiscard]] static constexpr unsigned pirq_of(u8 devfn, unsigned pin) {
    return ((devfn >> 3u) + pin - 2u) & 3u;
  }

  // IrqSink: input is devfn * 4 + pin - 1.
  void set_irq(unsigned input, bool active) override;
  void restore_irq(unsigned input, bool active) override;

 private:
  // Takes the level; returns the PIRQ wire.
  unsigned take_level(unsigned input, bool active);

  // wires
  const Wires wires_;
  IrqSink* router_ = nullptr;
  // parts
  std::array<PciFunction*, 256> functions_{};
  // scratch (every function restores its own level)
  std::array<std::bitset<256>, kPirqCount> levels_;
};

// Configuration mechanism 1: ports CF8h (address, doubleword only) and CFCh-CFFh (data).
// Place its window of kWindowBytes at port CF8h with AccessSizes{1, 4}.
class PciConfigPorts final : public Device, public IoHandler {
 public:
  static constexpr u64 kWindowBytes = 8;

  // `others` (may be null) gets byte and word accesses to CF8h-CFBh, which are ordinary I/O
  // cycles: port CF9h, the reset control register, is offset 1.
  PciConfigPorts(PciBus& bus, IoHandler* others) : bus_(bus), others_(others) {}

  [[nodiscard]] std::string_view name() const override { return "pci-config-ports"; }
  void reset() override { address_ = 0; }
  void transfer(StateIo& io) override;
  [[nodiscard]] u64 read(u64 offset, unsigned size) override;
  void write(u64 offset, unsigned size, u64 value) override;

 private:
  // wires
  PciBus& bus_;
  IoHandler* const others_;
  // state (saved)
  u32 address_ = 0;
};

}  // namespace emu
