// SPDX-License-Identifier: Apache-2.0
// Entry points of the hand-written code around generated blocks, and what they expect.
//
// While generated code runs, RSP is not the C++ stack but the return stack, where a guest call
// leaves a host return address by being a host `call`, so that the host predicts the guest's
// returns. A guest return goes through a host `ret` with the guest's target in kT0; the code after
// the call compares that with its own idea and takes an indirect exit if it differs. The return
// stack is a prediction only: it is emptied whenever generated code is left (so nothing on it
// outlives a change of mappings or modes), starts again from the top when it runs over, and ends in
// an entry that leads to an indirect exit.
//
// Every stub is within rel32 reach of every block. "Preserves all" means every guest register
// (register_map.h), host flags, x87 and vector registers. Stubs that
// return are called.
#pragma once

#include "base/types.h"

namespace emu {

// Describes one memory access to the slow path: immediate in emitted code.
struct AccessInfo {
  u32 size : 8 = 0;  // bytes, 1..64
  u32 read : 1 = 0;
  u32 write : 1 = 0;
  u32 memory_set : 2 = 0;     // MemorySet
  u32 stack_segment : 1 = 0;  // non-canonical address raises #SS instead of #GP
  u32 implicit_supervisor : 1 = 0;
  u32 align : 8 = 0;  // nonzero: the access must be so aligned (always_slow and #AC)
  u32 probe : 1 = 0;  // only fault, or fill the TLB if a plain access is possible: nothing is
                      // read or written, and the delta means nothing
  u32 reserved : 9 = 0;
  [[nodiscard]] u32 packed() const { return __builtin_bit_cast(u32, *this); }
};
static_assert(sizeof(AccessInfo) == 4);

struct StubTable {
  // TLB miss. In: kT0 = linear address, kT1 (32 bits) = AccessInfo. Out: kT1 = delta such that the
  // access is to be made at host address [kT0 + kT1]; kT2 is clobbered; preserves all else.
  // Returns to the instruction after the call if the access can be made directly (or is a pure
  // read: MMIO and page-crossing data were read into a bounce slot). For writes and
  // read-modify-writes that need work afterwards (MMIO, page crossing, translated code, watched
  // pages) it returns 5 bytes later: after the call there is a 5-byte `jmp rel32` to the inline
  // access, and behind that a copy of the access followed by `call commit_write`. A guest fault
  // does not return: guest state is that before the instruction.
  const u8* slow_access = nullptr;

  // After a store made through a bounce slot or to watched RAM. Preserves all but kT0..kT2. Does
  // not return if the block was invalidated by its own store: execution continues at the next
  // instruction (next_rip from the instruction map).
  const u8* commit_write = nullptr;

  // As commit_write, but always returns: for stores that are followed by more of the same
  // instruction (another store, or the jump of a call).
  const u8* commit_part = nullptr;

  // Calls C++ for a system instruction or complicated operation. In: kT1 = const SystemCall*, kT0 =
  // linear address of its memory operand, if any: stored to frame.exit_address. All guest registers
  // and flags are in the frame (cpu.gpr, cpu.rflags) during the call, and loaded again after it,
  // changed or not. Preserves x87 and vector registers, unless the operation changes them. cpu.rip
  // is the instruction's own RIP when the call starts. Does not return if the operation faults,
  // ends the block or stops.
  const u8* call_system = nullptr;

  // Ends of blocks; jumped to with all guest state in place:
  // direct exit that is not linked yet; in: kT1 (32 bits) = exit id.
  const u8* link_exit = nullptr;
  // Next RIP in kT0, any mode change already in the frame.
  const u8* indirect_exit = nullptr;
  // The same after the jump cache (slot `jump_slot`, if below kJumpCacheSlots) was found not to
  // hold the target.
  const u8* indirect_miss = nullptr;
  u32 jump_slot = ~0u;
  // As indirect_exit, but always through the C++ loop (interrupts are looked at).
  const u8* loop_exit = nullptr;
  // Raises an exception at the instruction that contains the *call* (found by return address):
  // `call raise` with kT1 (32 bits) = vector | has_error << 8 | error_code << 16.
  const u8* raise = nullptr;

  // SYSCALL and 64-bit SYSRET; jumped to as call_system is called, kT0 = RIP after SYSCALL.
  const u8* syscall = nullptr;
  const u8* sysret = nullptr;
  // REP STOS and REP MOVS of 64-bit code by log2 of the element's bytes: called as call_system,
  // with kT0 = offset of the TlbSet from the frame. What one page holds is done here.
  const u8* string_store[4] = {};
  const u8* string_move[4] = {};
  // STAC puts the first on the return stack, so that CLAC knows whether what lies below is its own
  // again; otherwise it puts the second there, alone.
  const u8* access_barrier = nullptr;
  const u8* checked_stack_end = nullptr;
};

}  // namespace emu
