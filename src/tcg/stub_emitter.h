// SPDX-License-Identifier: Apache-2.0
// What the parts of the hand-written stubs share. Private to them.
#pragma once

#include <asmjit/x86.h>

#include "tcg/register_map.h"
#include "tcg/stubs.h"

namespace emu {

using asmjit::Label;
namespace x86 = asmjit::x86;
using x86::Gp;

inline constexpr u32 kHostStatusFlags = 0xd5;  // SF ZF AF PF CF as LAHF gives them

class StubEmitter {
 public:
  StubEmitter(x86::Assembler& a, const StubCallbacks& callbacks) : a_(a), callbacks_(callbacks) {}

  void emit_all();
  Label enter, leave, slow_access, commit_write, commit_part, call_system, link_exit, loop_exit,
      raise, host_fault, indirect_miss, indirect[kJumpCacheSlots], underflow[kJumpCacheSlots + 1];
  Label access_barrier[kJumpCacheSlots + 1], syscall_barrier[kJumpCacheSlots + 1];
  Label syscall, sysret, string_store[4], string_move[4];

 private:
  static x86::Mem gs(std::size_t offset, u32 size = 8) {
    x86::Mem m = x86::ptr(u64{offset}, size);
    m.setSegment(x86::gs);
    return m;
  }
  static x86::Mem gpr_slot(unsigned guest) { return gs(offsetof(VcpuFrame, cpu.gpr) + 8 * guest); }
  static bool caller_saved(unsigned host) { return host <= 2 || (host >= 6 && host <= 8); }

  void spill() {
    for (unsigned g = 0; g < 16; ++g) {
      if (kHostRegister[g] != kInFrame) a_.mov(gpr_slot(g), x86::gpq(kHostRegister[g]));
    }
  }
  // Loads guest registers; with `all` false only those that a C++ call may have changed. RAX last
  // is not needed: nothing here uses it after flags are restored.
  void reload(bool all) {
    for (unsigned g = 0; g < 16; ++g) {
      const unsigned host = kHostRegister[g];
      if (host != kInFrame && (all || caller_saved(host))) a_.mov(x86::gpq(host), gpr_slot(g));
    }
  }
  // Host flags -> stub_flags as AH:AL = LAHF image : OF. Clobbers RAX (already spilled).
  void capture_flags() {
    a_.lahf();
    a_.seto(x86::al);
    a_.mov(gs(offsetof(VcpuFrame, stub_flags), 4), x86::eax);
  }
  void restore_captured_flags() {
    a_.mov(x86::eax, gs(offsetof(VcpuFrame, stub_flags), 4));
    a_.add(x86::al, 0x7f);
    a_.sahf();
  }
  // stub_flags -> cpu.rflags. Clobbers RAX, RCX, RDX and flags.
  void merge_flags() {
    a_.mov(x86::eax, gs(offsetof(VcpuFrame, stub_flags), 4));
    a_.movzx(x86::ecx, x86::ah);
    a_.and_(x86::ecx, kHostStatusFlags);
    a_.movzx(x86::eax, x86::al);
    a_.shl(x86::eax, 11);
    a_.or_(x86::ecx, x86::eax);
    a_.mov(x86::rdx, gs(offsetof(VcpuFrame, cpu.rflags)));
    a_.and_(x86::rdx, ~static_cast<i32>(kFlagsArithmetic));
    a_.or_(x86::rdx, x86::rcx);
    a_.mov(gs(offsetof(VcpuFrame, cpu.rflags)), x86::rdx);
  }
  // cpu.rflags -> host flags. Clobbers RAX and RCX.
  void load_flags() {
    a_.mov(x86::ecx, gs(offsetof(VcpuFrame, cpu.rflags), 4));
    a_.mov(x86::eax, x86::ecx);
    a_.shr(x86::ecx, 11);
    a_.and_(x86::ecx, 1);
    a_.shl(x86::eax, 8);
    a_.mov(x86::al, x86::cl);
    a_.add(x86::al, 0x7f);
    a_.sahf();
  }
  void call(const void* function) {
    a_.mov(x86::rax, reinterpret_cast<u64>(function));
    a_.call(x86::rax);
  }
  // Between the return stack and the C++ stack.
  void to_host_stack() {
    a_.mov(gs(offsetof(VcpuFrame, return_stack_saved)), x86::rsp);
    a_.mov(x86::rsp, gs(offsetof(VcpuFrame, host_stack_pointer)));
  }
  void to_return_stack() { a_.mov(x86::rsp, gs(offsetof(VcpuFrame, return_stack_saved))); }
  void load_owner() { a_.mov(x86::rdi, gs(offsetof(VcpuFrame, owner))); }
  void leave_if_asked() {
    a_.cmp(gs(offsetof(VcpuFrame, leave_reason), 4), 0);
    a_.jne(leave);
  }
  // Spills everything, merges flags, returns `reason` from enter.
  void leave_with(LeaveReason reason) {
    spill();
    capture_flags();
    merge_flags();
    a_.mov(x86::eax, static_cast<u32>(reason));
    a_.jmp(leave_tail_);
  }
  void emit_enter();
  void emit_slow_access();
  void emit_commit(const Label& entry, bool may_leave);
  void emit_call_system();
  void emit_faults();
  void emit_exits();
  // stubs_inline.cpp
  void keep_for_slow_path();
  void to_slow_path();
  void find_target(const Gp& rip, std::size_t transfer, const Label& miss);
  void load_segments(std::size_t transfer);
  void finish_transfer(std::size_t transfer);
  void emit_syscall();
  void emit_sysret();
  void find_page(const Gp& address, unsigned log2, std::size_t tag, const Label& miss);
  void emit_string(bool move, unsigned log2);

  x86::Assembler& a_;
  const StubCallbacks& callbacks_;
  Label leave_tail_;
};

}  // namespace emu
