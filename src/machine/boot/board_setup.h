// SPDX-License-Identifier: Apache-2.0
// What firmware would have done to the board before a kernel starts, for starting one without it:
// PCI resources, interrupt routes, power-management base, ACPI mode, shadow RAM, tables.
// Source: PCI Local Bus Specification 3.0, 6.2.5.1 (sizing BARs); SeaBIOS src/fw/pciinit.c for what
// guests expect of this chipset.
#pragma once

#include "cpu/cpu_state.h"
#include "cpu/cpuid_model.h"
#include "machine/memory_map.h"

namespace emu {

// Programs the board through its ports, as code on the boot processor would. Machine lock held.
void configure_board(AddressSpace& ports);

// Puts ACPI tables and SMBIOS into the F segment. Machine lock held; after configure_board().
void place_tables(AddressSpace& memory, u64 memory_bytes, unsigned cpus);
inline constexpr u64 kDirectRsdp = 0xf0000;

// Memory types as firmware leaves them: write-back RAM, uncached below 4 GiB and in the VGA hole.
void configure_memory_types(CpuState& state, const CpuFeatures& features);

}  // namespace emu
