// SPDX-License-Identifier: Apache-2.0
// The hand-written code between C++ and generated blocks; see stub_table.h for the contracts.
#pragma once

#include "base/result.h"
#include "tcg/code_cache.h"
#include "tcg/frame.h"
#include "tcg/stub_table.h"

namespace emu {

// What the enter stub returns: why generated code was left.
enum class LeaveReason : u32 {
  kNone,
  kIndirect,  // cpu.rip is the target; not in the jump cache
  kLink,      // an unlinked direct exit, its id in exit_argument
  kLoop,      // cpu.rip is where to go on; somebody wants attention
  kLeft,      // C++ called from the block finished or interrupted it; the state is complete
};

// C++ that stubs call, with vector registers live. `owner` is frame.owner; all guest registers are
// in cpu.gpr; for the first three the guest's flags are in frame.stub_flags, for the others in
// cpu.rflags. A nonzero frame.leave_reason afterwards leaves the block.
struct StubCallbacks {
  // Returns the delta; *needs_commit says whether commit_write must follow.
  u64 (*slow_access)(void* owner, u64 linear, u32 access_info, const u8* return_address,
                     u64* needs_commit) noexcept;
  void (*commit_write)(void* owner, const u8* return_address) noexcept;
  void (*commit_part)(void* owner, const u8* return_address) noexcept;  // never leaves
  // Returns where in the code to go on, with the return stack emptied; null: after the call.
  const u8* (*call_system)(void* owner, const void* system_call) noexcept;
  void (*raise)(void* owner, u32 what, const u8* return_address) noexcept;
  void (*host_fault)(void* owner) noexcept;
};

struct Stubs {
  StubTable table;  // `indirect_exit` is slot 0's
  const u8* indirect_exit[kJumpCacheSlots] = {};
  // What the last entry of the return stack holds: empties it and goes to indirect_exit[slot], or
  // (the last one) to loop_exit.
  const u8* return_underflow[kJumpCacheSlots + 1] = {};
  // The same, lying between entries of two modes: of `slot`'s mode above, to which STAC or SYSCALL
  // went, and another below. The two kinds differ in their addresses.
  const u8* access_barrier[kJumpCacheSlots + 1] = {};
  const u8* syscall_barrier[kJumpCacheSlots + 1] = {};
  // Where the signal handler sends a block whose instruction faulted, with exit_address = host PC
  // and exit_argument = trap number.
  const u8* host_fault = nullptr;
  // LeaveReason enter(VcpuFrame*, const u8* code): loads the guest state and jumps.
  LeaveReason (*enter)(VcpuFrame* frame, const u8* code) noexcept = nullptr;
};

// Emits the stubs at the start of `cache`. Fails if the assembler does.
[[nodiscard]] Result<Stubs> emit_stubs(CodeCache& cache, const StubCallbacks& callbacks);

}  // namespace emu
