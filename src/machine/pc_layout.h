// SPDX-License-Identifier: Apache-2.0
// Where things are in this PC: memory map, ports, interrupt numbers.
// Source: 82441FX (i440FX) and 82371 (PIIX) data sheets; QEMU's "pc" machine, which firmware and
// guests have drivers for; ACPI 6.4.
#pragma once

#include <algorithm>

#include "base/types.h"

namespace emu {

// Guest-physical memory.
inline constexpr u64 kVgaHoleBase = 0xa0000, kVgaHoleBytes = 0x20000;  // also SMRAM
inline constexpr u64 kPamBase = 0xc0000, kPamBytes = 0x40000;
inline constexpr u64 kBiosShadowBase = 0xf0000, kBiosShadowBytes = 0x10000;
inline constexpr u64 kPciHoleBase = 0xc0000000, kPciHoleEnd = 0x100000000;
inline constexpr u64 kPciWindowEnd = 0xfec00000;
inline constexpr u64 kIoApicBase = 0xfec00000, kIoApicBytes = 0x1000;
inline constexpr u64 kHpetBase = 0xfed00000, kHpetBytes = 0x400;
inline constexpr u64 kLocalApicBase = 0xfee00000, kLocalApicBytes = 0x100000;
inline constexpr u64 kHighMemoryBase = 0x100000000;
inline constexpr u64 kPciConfiguredBase = 0xe0000000;  // first BAR that direct boot assigns

// Ports.
inline constexpr u16 kPmBase = 0x600;   // PIIX4 power management
inline constexpr u16 kGpeBase = 0x60c;  // its general-purpose events (PMBASE + 0Ch)
inline constexpr u16 kSmbusBase = 0x700;
inline constexpr u16 kApmControlPort = 0xb2;
inline constexpr u8 kAcpiEnableCommand = 0xf1, kAcpiDisableCommand = 0xf0;
inline constexpr u16 kResetControlPort = 0xcf9;
inline constexpr u16 kPciConfiguredIoBase = 0xc000;  // first I/O BAR that direct boot assigns

// Interrupts.
inline constexpr u8 kSciIrq = 9;
inline constexpr u8 kPirqRoutes[4] = {10, 10, 11, 11};  // as SeaBIOS programs PIRQ A-D

// How RAM is laid out around the PCI hole.
struct MemoryLayout {
  u64 low_bytes = 0;   // from address 0
  u64 high_bytes = 0;  // from 4 GiB

  [[nodiscard]] static constexpr MemoryLayout of(u64 memory_bytes) {
    const u64 low = std::min(memory_bytes, kPciHoleBase);
    return {low, memory_bytes - low};
  }
};

}  // namespace emu
