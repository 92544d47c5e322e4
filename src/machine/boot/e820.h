// SPDX-License-Identifier: Apache-2.0
// The memory map that firmware reports (INT 15h AX=E820h, boot_params, fw_cfg's etc/e820).
// Source: ACPI 6.4, chapter 15.
#pragma once

#include <vector>

#include "machine/pc_layout.h"

namespace emu {

struct E820Entry {
  enum Type : u32 { kRam = 1, kReserved = 2 };
  u64 base = 0;
  u64 length_bytes = 0;
  Type type = kRam;
};

// What a kernel started without firmware is told.
[[nodiscard]] std::vector<E820Entry> direct_boot_memory_map(const MemoryLayout& memory);
// The packed 20-byte form of boot_params and etc/e820.
[[nodiscard]] std::vector<u8> pack_e820(const std::vector<E820Entry>& entries);

// End of conventional memory; the extended BIOS data area follows.
inline constexpr u64 kEbdaBase = 0x9fc00;

}  // namespace emu
