// SPDX-License-Identifier: Apache-2.0
// An xHCI with a tablet in port 1 and a hub with a disk in port 2, RAM for rings and contexts, and
// its registers at E0000000h; and a driver that knows as much as its tests need.
#pragma once

#include "block/test_backends.h"
#include "devices/pci/pci_rig.h"
#include "devices/storage/ide_rig.h"
#include "devices/usb/usb_hid.h"
#include "devices/usb/usb_hub.h"
#include "devices/usb/usb_storage.h"
#include "devices/usb/xhci.h"

namespace emu {

struct XhciRig {
  static constexpr u8 kDevfn = pci::devfn(4, 0);
  static constexpr u64 kRamBytes = 256 * kKiB, kBase = 0xe0000000;

  explicit XhciRig(Clock& clock) : xhci(pci.bus, kDevfn, clock) {
    pci.memory->add(*ram_region, 0);
    hub.attach(3, disk);
    xhci.attach(0, &tablet);
    xhci.attach(1, &hub);
    xhci.reset();
    power_up();
  }
  // The window, and bus mastering.
  void power_up() {
    pci.write(kDevfn, 0x10, kBase);
    pci.write(kDevfn, 4, 6, 2);
  }
  u32 in(u64 offset) { return static_cast<u32>(pci.memory_space.load(kBase + offset, 4)); }
  void out(u64 offset, u64 value) { pci.memory_space.store(kBase + offset, 4, value); }
  u32 memory(u64 address) { return static_cast<u32>(pci.memory_space.load(address, 4)); }
  void memory(u64 address, u64 value) { pci.memory_space.store(address, 4, value); }

  std::unique_ptr<GuestRam> ram = std::move(*GuestRam::create("ram", kRamBytes));
  std::unique_ptr<Region> ram_region = Region::ram("ram", *ram, 0, kRamBytes);
  PciRig pci;
  ManualExecutor executor;
  MemoryBackend backend{1 * kMiB, executor};
  UsbTablet tablet{"tablet"};
  UsbStorage disk{"disk", backend, "S1", usb::Speed::kFull};
  UsbHub hub{"hub"};
  Xhci xhci;
};

}  // namespace emu
