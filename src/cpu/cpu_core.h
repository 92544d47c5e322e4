// SPDX-License-Identifier: Apache-2.0
// What every processor function of this room works on: the state, its memory, what the model
// offers, and a note of what the engine must redo.
//
// Rules for everything declared in this room with a CpuCore parameter:
//  - noexcept, and safe while the guest's x87 and vector registers are live in the host (the files
//    are compiled with -mgeneral-regs-only). The CpuMemory the engine passes must be so too.
//  - On entry `state.rip` is the offset of the instruction being executed and all of `state`,
//    arithmetic flags included, is up to date. Functions that leave the instruction get the offset
//    of the next one as `next_rip` and set `state.rip` when they succeed. The others leave rip
//    alone.
//  - RFLAGS.RF in the state is looked at only while a code breakpoint is enabled: an engine that
//    clears it after each instruction then need not do so otherwise.
//  - A returned Fault means that nothing guest-visible changed (page A/D and descriptor accessed
//    bits aside). Exceptions: a task switch that had passed its commit point (SDM vol. 3 7.3)
//    leaves the state in the new task and the Fault belongs to that one. Either way the caller
//    hands the Fault to deliver_fault() with the state as it is.
#pragma once

#include "base/types.h"
#include "cpu/cpu_memory.h"
#include "cpu/cpu_state.h"
#include "cpu/fault.h"

namespace emu {

// What the CPUID model allows; computed once by CpuidModel::features().
struct CpuFeatures {
  u64 cr4_allowed = 0;   // CR4 bits that do not raise #GP
  u64 efer_allowed = 0;  // EFER bits that do not raise #GP
  u64 xcr0_allowed = 0;  // 0: no XSAVE at all
  u64 xss_allowed = 0;
  u64 spec_ctrl_allowed = 0;
  u64 arch_capabilities = 0;
  u64 tsc_hz = 0;
  u8 phys_bits = 40;       // physical-address width
  bool long_mode = true;   // EM64T
  bool sysenter = true;    // SEP
  bool rdtscp = true;      // TSC_AUX exists
  bool tsc_adjust = true;  // IA32_TSC_ADJUST exists
  bool pat = true;
  bool mtrr = true;
  bool pse36 = true;
  bool giant_pages = true;  // 1 GiB pages
  bool arch_capabilities_msr = false;
  bool pred_cmd = false;  // IBPB: IA32_PRED_CMD is writable
  bool flush_cmd = false;
};

// What the engine must do after a function of this room; accumulated in CpuCore::effects. The
// translation mode (CS, CPL, CR0, CR4, EFER, ...) is simply looked at again after every one of
// them.
enum Effect : u32 {
  kEffectFlushAll = 1 << 0,        // every TLB entry of this processor, all PCIDs, global ones too
  kEffectFlushPcid = 1 << 1,       // non-global entries of the PCID now in CR3
  kEffectFlushOnePcid = 1 << 2,    // non-global entries of CpuCore::flush_pcid (INVPCID type 1)
  kEffectFlushNonGlobal = 1 << 3,  // non-global entries of all PCIDs
  kEffectFlushPage = 1 << 4,       // CpuCore::flush_page in flush_pcid (INVPCID type 0)
  kEffectAddressSpace = 1 << 5,    // CR3 (perhaps the PCID) changed: select another TLB set
  kEffectPagingMode = 1 << 6,      // how rights are computed changed: entries must not be reused
  kEffectBreakpoints = 1 << 7,     // DR0-DR3, DR7 or CR4.DE changed
  kEffectInterrupts = 1 << 8,      // IF, the interrupt shadow or NMI blocking may have been lifted
  kEffectSmm = 1 << 9,             // SMM was left: tell the bus
  kEffectXcr0 = 1 << 10,           // XCR0 changed
  kEffectTsc = 1 << 11,            // tsc_offset changed
  kEffectMemoryTypes = 1 << 12,    // MTRR, PAT (no meaning for translation)
};

// Where the lowest page tables lie that recent walks came through: the paging-structure cache of
// SDM vol. 3 4.10.3, used by walk_page() only. It is dropped by everything in this room that
// invalidates translations; an engine calls flush() for INVLPG and when it replaces the state or
// the physical memory map.
struct PagingCache {
  static constexpr unsigned kEntries = 64;
  struct Entry {
    u64 key = 0;           // generation and region; generation 0 never matches
    u64 table = 0;         // of the page table
    u64 combined_and = 0;  // of the entries that led there
    u64 combined_or = 0;
  };
  Entry entries[kEntries];
  u64 generation = 1;
  // The registers the entries were made under.
  u64 cr0 = 0, cr3 = 0, cr4 = 0, efer = 0;

  void flush() noexcept { ++generation; }
};

struct CpuCore {
  CpuState& state;
  CpuMemory& memory;
  const CpuFeatures& features;
  u32 effects = 0;          // Effect bits, OR-ed in; the engine acts and clears
  u16 flush_pcid = 0;       // with kEffectFlushPage, kEffectFlushOnePcid
  LinearAddr flush_page{};  // with kEffectFlushPage
  PagingCache paging_cache{};
};

}  // namespace emu
