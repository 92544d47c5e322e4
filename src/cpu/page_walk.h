// SPDX-License-Identifier: Apache-2.0
// Linear to guest-physical translation for every paging mode but 5-level.
// Source: Intel SDM vol. 3 ch. 4.
#pragma once

#include "cpu/cpu_core.h"

namespace emu {

// The access a translation is wanted for.
struct PageAccess {
  bool write = false;
  bool fetch = false;     // instruction fetch; excludes write
  bool user = false;      // user-mode access (CPL 3, explicit)
  bool implicit = false;  // implicit supervisor access: SMAP applies whatever EFLAGS.AC says
};

// A successful translation: where the page is, and which accesses of the same privilege (user or
// not, and for supervisor accesses the same EFLAGS.AC / implicit state) need no new walk.
struct PageTranslation {
  PhysAddr physical{};    // of the byte asked for
  u64 page_bytes = 0;     // 4 KiB, 2 MiB, 4 MiB or 1 GiB; physical and linear agree below it
  bool readable = false;  // false only for execute-only views (SMAP, protection keys)
  bool writable = false;  // rights allow it AND the dirty bit is already set
  bool executable = false;
  bool user_page = false;  // U/S is 1 at all levels
  bool global = false;     // G, and CR4.PGE is set
  u8 protection_key = 0;

  // The guest-physical address of the 4 KiB page with the byte.
  [[nodiscard]] constexpr PhysAddr page() const { return PhysAddr{physical.value & ~u64{0xfff}}; }
};

// Walks the page tables for `linear`; sets accessed and dirty bits by compare-and-swap.
// With CR0.PG clear the translation is the identity (32 bits). `linear` must be canonical in long
// mode; elsewhere its upper half is ignored. Faults with #PF(code, linear); nothing else changes.
// Uses CR0, CR3, CR4, EFER, PDPTEs, PKRU and EFLAGS.AC of the state.
// Source: SDM vol. 3 4.3-4.7, 4.8 (A/D), 4.6.2 (protection keys).
Fault walk_page(CpuCore& core, LinearAddr linear, PageAccess access, PageTranslation& out) noexcept;

// Like walk_page for a debugger: never sets A/D bits and ignores rights. False if not mapped.
bool translate_for_debugger(CpuCore& core, LinearAddr linear, PhysAddr& out) noexcept;

// Loads the four PDPTEs that `cr3` points to into `out` (PAE paging, SDM vol. 3 4.4.1).
// #GP(0) if a present one has reserved bits set.
Fault read_pdptes(CpuCore& core, u64 cr3, u64 (&out)[4]) noexcept;

// Whether bits 63..47 are all equal.
constexpr bool is_canonical(u64 address) {
  return static_cast<u64>(static_cast<i64>(address << 16) >> 16) == address;
}

}  // namespace emu
