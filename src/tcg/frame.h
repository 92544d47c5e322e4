// SPDX-License-Identifier: Apache-2.0
// What generated code addresses through GS: one vCPU's architectural state, TLB tables and stub
// parameters. Layout is the contract between emitted code and the runtime.
#pragma once

#include <atomic>
#include <cstddef>

#include "base/types.h"
#include "cpu/cpu_state.h"
#include "frontend/translation_mode.h"

namespace emu {

inline constexpr unsigned kTlbBits = 12;
inline constexpr unsigned kTlbEntries = 1u << kTlbBits;
inline constexpr u64 kTlbInvalidTag = 0x800;  // what is compared has bits 3 to 11 clear

// One TLB set, direct mapped by linear page number modulo kTlbEntries. A load of `size` bytes at
// linear address `ea` may go to host address ea + delta[i] if read_tag[i] == ((ea + size - 1) &
// ~4095): a page-crossing access compares unequal by construction. Stores compare write_tag.
struct TlbSet {
  u64 read_tag[kTlbEntries];
  u64 write_tag[kTlbEntries];
  u64 delta[kTlbEntries];
};

// A site is a memory operand that mostly stays on one page: which TLB entry it used last. Loads of
// it do not wait for the guest's address, so neither does what is loaded through it; the entry's
// tag is compared as ever. Sites may share a number.
inline constexpr unsigned kPageSiteBits = 16;

// The execute TLB is not used to fetch: it proves that a linear page still maps the physical page
// that a link or an indirect-jump cache entry was made for. `id` names a (linear page, physical
// page) pair, 0 is invalid.
inline constexpr unsigned kItlbEntries = 1024;

// Target cache of indirect jumps and returns: one slot per translation mode in use (the runtime
// assigns them), direct mapped by the low bits of RIP. An exit request makes every lookup use entry
// 0, which always leads back to the run loop; an empty entry cannot match (RIP 0 is entry 0's).
inline constexpr unsigned kJumpCacheBits = 14;
inline constexpr unsigned kJumpCacheEntries = 1u << kJumpCacheBits;
inline constexpr unsigned kJumpCacheSlots = 16;
struct JumpCacheSlot {
  u64 negated_rip[kJumpCacheEntries];  // -RIP, so that a flag-free sum of zero is a hit; 0: empty
  const u8* code[kJumpCacheEntries];
};

// A system call or its return as generated code carries it out: what is known to come of one that
// starts in `from_mode`. The runtime notes it when it has carried one out, and forgets it when a
// register that decides about it changes.
inline constexpr u32 kNoMode = ~0u;
struct FastTransfer {
  u32 from_mode = kNoMode;
  u32 to_mode = 0;
  u64 table = 0;      // host address of to_mode's JumpCacheSlot
  u64 stack_end = 0;  // last entry of the return stack there
  u64 barrier = 0;    // SYSCALL: what its SYSRET finds on the return stack
  Segment cs, ss;
};

// Everything generated code reaches as gs:[offset]. Standard layout; guest registers live in host
// registers while generated code runs (see register_map.h), and in cpu.gpr otherwise.
struct alignas(4096) VcpuFrame {
  CpuState cpu;

  u64 host_stack_pointer = 0;  // RSP of C++ while generated code runs
  u64 return_stack_top = 0;    // RSP of generated code with no call pending; see stub_table.h
  u64 return_stack_saved = 0;  // RSP of generated code while C++ runs
  VcpuFrame* self = nullptr;   // this
  void* owner = nullptr;       // the runtime's vCPU object
  u64 poll_pointer = 0;        // polls load a byte from here; points to no memory when an
                               // exit is requested
  u64 tlb_index_mask = u64{kTlbEntries - 1} << 12;  // for pext
  u64 jump_index_mask = 0;  // for pext; 0 while an exit is requested: entry 0 never hits
  u32 mode = 0;             // TranslationMode::packed() of the running code
  u32 interrupt_line = 0;   // level of INTR; set by other threads (atomic access)
  u64 tsc_bias = 0;         // host TSC + this = the engine's TSC
  u32 exit_argument = 0;
  u64 exit_address = 0;  // slow path: linear address; faults: host PC
  u64 spill[8] = {};     // scratch for generated code
  u64 stub_flags = 0;    // scratch for stubs: LAHF/SETO image
  u64 leave_reason = 0;  // set by C++ called from a block: do not return to it
  FastTransfer syscall, sysret;
  u32 sysret_blocked = 0;  // the runtime wants to see the return to ring 3
  u64 fast_syscalls = 0, fast_sysrets = 0, fast_strings = 0;  // counts
  u64 shared_host[16] = {};  // host address of each checked range of the running block
  // Offsets below these may be read/written through the segment without further checks: an access
  // of n bytes at `offset` is fine if offset + n <= the value (2^32 at most; 0: always ask
  // system_check_segment). Maintained by the runtime whenever a segment changes; used outside
  // 64-bit code.
  u64 segment_read_limit[kSegmentCount] = {};
  u64 segment_write_limit[kSegmentCount] = {};
  alignas(64) u8 vector_spill[4][64];  // scratch for vector registers
  alignas(64) u8 bounce[192];          // page-crossing and MMIO accesses: 64-byte slot + alignment

  alignas(64) u16 page_site[1u << kPageSiteBits];
  alignas(64) u32 itlb_id[kItlbEntries];
  alignas(4096) TlbSet tlb[kMemorySets];
  alignas(4096) JumpCacheSlot jump_cache[kJumpCacheSlots];
};

// Displacements from GS.
inline constexpr i32 frame_offset(std::size_t offset) {
  return static_cast<i32>(offset);
}
#define EMU_FRAME(member) ::emu::frame_offset(offsetof(::emu::VcpuFrame, member))

}  // namespace emu
