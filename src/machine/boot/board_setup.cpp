// SPDX-License-Identifier: Apache-2.0
#include "machine/boot/board_setup.h"

#include <algorithm>

#include "base/bits.h"
#include "devices/pci/pci_bus.h"
#include "devices/pci/pci_spec.h"
#include "machine/acpi/acpi_tables.h"
#include "machine/smbios/smbios_tables.h"

namespace emu {
namespace {

constexpr u16 kAddressPort = 0xcf8, kDataPort = 0xcfc;
constexpr u64 kSmallestGap = 0x1000;
// Where things are in the F segment.
constexpr u64 kSmbiosEntry2 = 0xf0030, kSmbiosEntry3 = 0xf0050;
constexpr u64 kAcpiTables = 0xf0080, kSmbiosStructures = 0xf8000;

// PCI configuration and resource assignment on bus 0.
class BoardSetup {
 public:
  explicit BoardSetup(AddressSpace& ports) : ports_(ports) {}

  void run() {
    for (u8 device = 0; device < 32; ++device) {
      if (read(devfn(device, 0), 0, 2) == 0xffff) continue;
      const bool multi = (read(devfn(device, 0), kHeaderType, 1) & 0x80) != 0;
      for (u8 function = 0; function < (multi ? 8 : 1); ++function) {
        const u8 at = devfn(device, function);
        if (read(at, 0, 2) != 0xffff) configure(at);
      }
    }
    ports_.store(0x4d0, 1, 0);     // level-triggered: the interrupts that PCI uses
    ports_.store(0x4d1, 1, 0x0e);  // 9, 10, 11
    if (pm_found_) ports_.store(kApmControlPort, 1, kAcpiEnableCommand);
  }

 private:
  static constexpr u32 kCommand = 0x04, kHeaderType = 0x0e, kFirstBar = 0x10, kInterruptLine = 0x3c,
                       kInterruptPin = 0x3d;
  static constexpr u8 devfn(u8 device, u8 function) {
    return static_cast<u8>(device << 3 | function);
  }

  u32 read(u8 at, u32 offset, unsigned size) {
    ports_.store(kAddressPort, 4, 0x80000000u | u32{at} << 8 | (offset & 0xfc));
    return static_cast<u32>(ports_.load(kDataPort + (offset & 3), size));
  }
  void write(u8 at, u32 offset, unsigned size, u32 value) {
    ports_.store(kAddressPort, 4, 0x80000000u | u32{at} << 8 | (offset & 0xfc));
    ports_.store(kDataPort + (offset & 3), size, value);
  }

  void configure(u8 at) {
    const u32 id = read(at, 0, 4);
    assign_bars(at);
    if (const u32 pin = read(at, kInterruptPin, 1); pin != 0) {
      write(at, kInterruptLine, 1, kPirqRoutes[PciBus::pirq_of(at, pin)]);
    }
    switch (id) {
      case 0x12378086:
        configure_host_bridge(at);
        break;
      case 0x70008086:
        configure_isa_bridge(at);
        break;
      case 0x70108086:
        configure_ide(at);
        break;
      case 0x71138086:
        configure_power_management(at);
        break;
      default:
        break;
    }
    write(at, kCommand, 2, read(at, kCommand, 2) | 3 | 0x100);  // I/O, memory, SERR
  }

  void assign_bars(u8 at) {
    for (u32 offset = kFirstBar; offset < kFirstBar + 24; offset += 4) {
      write(at, offset, 4, 0xffffffff);
      const u32 mask = read(at, offset, 4);
      if (mask == 0) continue;
      if ((mask & 1) != 0) {
        const u32 bytes = ~(mask & 0xfffffffcu) + 1;
        io_ = static_cast<u32>(align_up(io_, bytes & 0xffff));
        write(at, offset, 4, io_);
        io_ += bytes & 0xffff;
        continue;
      }
      const u64 bytes = u32{~(mask & 0xfffffff0u) + 1};
      memory_ = align_up(memory_, std::max(bytes, kSmallestGap));
      write(at, offset, 4, static_cast<u32>(memory_));
      memory_ += bytes;
      if ((mask & 6) == 4) {  // 64 bits wide
        offset += 4;
        write(at, offset, 4, 0);
      }
    }
  }

  void configure_host_bridge(u8 at) {
    write(at, 0x59, 1, 0x30);  // PAM0: the F segment is RAM, where the tables go
  }
  void configure_isa_bridge(u8 at) {
    for (u32 pirq = 0; pirq < 4; ++pirq) write(at, 0x60 + pirq, 1, kPirqRoutes[pirq]);
  }
  void configure_ide(u8 at) {
    write(at, 0x40, 2, 0x8000);  // decode both channels
    write(at, 0x42, 2, 0x8000);
  }
  void configure_power_management(u8 at) {
    write(at, kInterruptLine, 1, kSciIrq);
    write(at, 0x40, 4, kPmBase | 1);
    write(at, 0x80, 1, 1);
    write(at, 0x90, 4, kSmbusBase | 1);
    write(at, 0xd2, 1, 0x09);
    pm_found_ = true;
  }

  AddressSpace& ports_;
  u32 io_ = kPciConfiguredIoBase;
  u64 memory_ = kPciConfiguredBase;
  bool pm_found_ = false;
};

}  // namespace

void configure_board(AddressSpace& ports) {
  BoardSetup(ports).run();
}

void place_tables(AddressSpace& memory, u64 memory_bytes, unsigned cpus) {
  const AcpiTables acpi({.cpus = cpus, .hpet = true});
  const auto [tables, rsdp] = acpi.finished(kAcpiTables, kDirectRsdp);
  memory.write(kDirectRsdp, rsdp);
  memory.write(kAcpiTables, tables);
  const SmbiosTables smbios = SmbiosTables::build({memory_bytes, cpus});
  memory.write(kSmbiosEntry2, smbios.entry_point_2(kSmbiosStructures));
  memory.write(kSmbiosEntry3, smbios.entry_point_3(kSmbiosStructures));
  memory.write(kSmbiosStructures, smbios.structures);
}

void configure_memory_types(CpuState& state, const CpuFeatures& features) {
  if (!features.mtrr) return;
  constexpr u64 kEnable = 1u << 11, kFixedEnable = 1u << 10, kWriteBack = 6, kValid = 1u << 11;
  constexpr u64 kAllWriteBack = 0x0606060606060606;
  for (u64& range : state.mtrr_fixed) range = kAllWriteBack;
  state.mtrr_fixed[2] = 0;  // A0000-BFFFF: uncached
  state.mtrr_variable[0] = kPciHoleBase;
  state.mtrr_variable[1] =
      (low_mask(features.phys_bits) & ~(kPciHoleEnd - kPciHoleBase - 1)) | kValid;
  state.mtrr_def_type = kEnable | kFixedEnable | kWriteBack;
}

}  // namespace emu
