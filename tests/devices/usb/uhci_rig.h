// SPDX-License-Identifier: Apache-2.0
// A UHCI with a tablet on port 1, RAM for schedules, and its registers at port C000h.
#pragma once

#include "devices/pci/pci_rig.h"
#include "devices/usb/uhci.h"
#include "devices/usb/usb_hid.h"

namespace emu {

struct UhciRig {
  static constexpr u8 kDevfn = pci::devfn(1, 2);
  static constexpr u64 kRamBytes = 64 * kKiB;
  static constexpr u16 kPort = 0xc000;

  explicit UhciRig(Clock& clock) : uhci(pci.bus, kDevfn, clock) {
    pci.memory->add(*ram_region, 0);
    uhci.attach(0, &tablet);
    uhci.reset();
    power_up();
  }
  // The window, and bus mastering.
  void power_up() {
    pci.write(kDevfn, 0x20, kPort);
    pci.write(kDevfn, 4, 5, 2);
  }
  u64 in(u64 offset) { return pci.port_space.load(kPort + offset, 2); }
  void out(u64 offset, u64 value) { pci.port_space.store(kPort + offset, 2, value); }
  u64 memory(u64 address) { return pci.memory_space.load(address, 4); }
  void memory(u64 address, u64 value) { pci.memory_space.store(address, 4, value); }

  std::unique_ptr<GuestRam> ram = std::move(*GuestRam::create("ram", kRamBytes));
  std::unique_ptr<Region> ram_region = Region::ram("ram", *ram, 0, kRamBytes);
  PciRig pci;
  UsbTablet tablet{"tablet"};
  Uhci uhci;
};

}  // namespace emu
