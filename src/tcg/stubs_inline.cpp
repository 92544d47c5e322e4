// SPDX-License-Identifier: Apache-2.0
// Stubs that carry out what kernels do all the time without C++: SYSCALL and SYSRET between two
// modes that the runtime has seen before, REP STOS and REP MOVS inside a page. Whatever is not
// plain goes to call_system with everything as it was. Source: Intel SDM vol. 2 SYSCALL, SYSRET,
// REP, MOVS, STOS.
#include "tcg/stub_emitter.h"

namespace emu {
namespace {

constexpr u32 kSysretFlags = 0x3c7fd7;
// Flags that decide about the mode, or whether there is more to do.
constexpr u32 kModeFlags = kFlagTf | kFlagAc | kFlagIopl | kFlagVm | kFlagRf;

}  // namespace

// RAX, RDX and the flags, which are free from here on.
void StubEmitter::keep_for_slow_path() {
  a_.mov(gpr_slot(kRax), x86::rax);
  a_.mov(gpr_slot(kRdx), x86::rdx);
  capture_flags();
}

void StubEmitter::to_slow_path() {
  restore_captured_flags();
  a_.mov(x86::rax, gpr_slot(kRax));
  a_.mov(x86::rdx, gpr_slot(kRdx));
  a_.jmp(call_system);
}

// kT2 = the code at `rip` in the mode that frame.`transfer` leads to. Changes RAX, RDX, flags.
void StubEmitter::find_target(const Gp& rip, std::size_t transfer, const Label& miss) {
  a_.mov(x86::edx, gs(offsetof(VcpuFrame, mode), 4));
  a_.cmp(x86::edx, gs(transfer + offsetof(FastTransfer, from_mode), 4));
  a_.jne(miss);
  a_.pext(x86::rax, rip, gs(offsetof(VcpuFrame, jump_index_mask)));
  a_.mov(x86::rdx, gs(transfer + offsetof(FastTransfer, table)));
  a_.lea(x86::rax, x86::ptr(x86::rdx, x86::rax, 3));
  a_.mov(x86::rdx, rip);
  a_.add(x86::rdx, x86::qword_ptr(x86::rax, offsetof(JumpCacheSlot, negated_rip)));
  a_.jnz(miss);
  a_.mov(x86::gpq(kT2), x86::qword_ptr(x86::rax, offsetof(JumpCacheSlot, code)));
}

void StubEmitter::load_segments(std::size_t transfer) {
  for (std::size_t part = 0; part < sizeof(Segment); part += 8) {
    a_.mov(x86::rax, gs(transfer + offsetof(FastTransfer, cs) + part));
    a_.mov(x86::rdx, gs(transfer + offsetof(FastTransfer, ss) + part));
    a_.mov(gs(offsetof(VcpuFrame, cpu.segments) + sizeof(Segment) * kCs + part), x86::rax);
    a_.mov(gs(offsetof(VcpuFrame, cpu.segments) + sizeof(Segment) * kSs + part), x86::rdx);
  }
}

// The new flags are in cpu.rflags, RCX is free and the return stack right. Goes to kT2.
void StubEmitter::finish_transfer(std::size_t transfer) {
  load_segments(transfer);
  a_.mov(x86::eax, gs(transfer + offsetof(FastTransfer, to_mode), 4));
  a_.mov(gs(offsetof(VcpuFrame, mode), 4), x86::eax);
  load_flags();
  a_.mov(x86::rcx, x86::gpq(kT0));
  a_.mov(x86::rax, gpr_slot(kRax));
  a_.mov(x86::rdx, gpr_slot(kRdx));
  a_.jmp(x86::gpq(kT2));
}

// kT0 = RIP behind the instruction.
void StubEmitter::emit_syscall() {
  constexpr std::size_t kTransfer = offsetof(VcpuFrame, syscall);
  const Label slow = a_.newLabel();
  a_.bind(syscall);
  keep_for_slow_path();
  a_.mov(x86::gpq(kT2), gs(offsetof(VcpuFrame, cpu.lstar)));
  find_target(x86::gpq(kT2), kTransfer, slow);
  // R11 = flags without RF; the new ones are those that SFMASK does not clear.
  a_.mov(x86::eax, gs(offsetof(VcpuFrame, stub_flags), 4));
  a_.movzx(x86::ecx, x86::ah);
  a_.and_(x86::ecx, kHostStatusFlags);
  a_.movzx(x86::eax, x86::al);
  a_.shl(x86::eax, 11);
  a_.or_(x86::ecx, x86::eax);
  a_.mov(x86::eax, gs(offsetof(VcpuFrame, cpu.rflags), 4));
  a_.and_(x86::eax, ~static_cast<i32>(kFlagsArithmetic | kFlagRf));
  a_.or_(x86::eax, x86::ecx);
  a_.mov(gpr_slot(kR11), x86::rax);
  a_.mov(x86::ecx, gs(offsetof(VcpuFrame, cpu.sfmask), 4));
  a_.not_(x86::ecx);
  a_.and_(x86::eax, x86::ecx);
  a_.or_(x86::eax, static_cast<i32>(kFlagFixed1));
  a_.mov(gs(offsetof(VcpuFrame, cpu.rflags)), x86::rax);
  a_.push(gs(kTransfer + offsetof(FastTransfer, barrier)));
  a_.inc(gs(offsetof(VcpuFrame, fast_syscalls)));
  finish_transfer(kTransfer);
  a_.bind(slow);
  to_slow_path();
}

void StubEmitter::emit_sysret() {
  constexpr std::size_t kTransfer = offsetof(VcpuFrame, sysret);
  const Label slow = a_.newLabel(), emptied = a_.newLabel(), done = a_.newLabel();
  a_.bind(sysret);
  keep_for_slow_path();
  a_.mov(x86::eax, gs(offsetof(VcpuFrame, interrupt_line), 4));
  a_.or_(x86::eax, gs(offsetof(VcpuFrame, sysret_blocked), 4));
  a_.jnz(slow);
  a_.test(gs(offsetof(VcpuFrame, cpu.gpr) + 8 * kR11, 4), static_cast<i32>(kModeFlags));
  a_.jnz(slow);
  find_target(x86::rcx, kTransfer, slow);
  a_.mov(x86::gpq(kT0), x86::rcx);
  a_.mov(x86::eax, gpr_slot(kR11));
  a_.and_(x86::eax, static_cast<i32>(kSysretFlags));
  a_.or_(x86::eax, static_cast<i32>(kFlagFixed1));
  a_.mov(gs(offsetof(VcpuFrame, cpu.rflags)), x86::rax);
  // The program's own entries are there again if all calls since its SYSCALL have returned.
  a_.mov(x86::rax, x86::ptr(x86::rsp));
  a_.cmp(x86::rax, gs(offsetof(VcpuFrame, syscall.barrier)));
  a_.jne(emptied);
  a_.mov(x86::eax, gs(kTransfer + offsetof(FastTransfer, to_mode), 4));
  a_.cmp(x86::eax, gs(offsetof(VcpuFrame, syscall.from_mode), 4));
  a_.jne(emptied);
  a_.add(x86::rsp, 8);
  a_.bind(done);
  a_.inc(gs(offsetof(VcpuFrame, fast_sysrets)));
  finish_transfer(kTransfer);
  a_.bind(emptied);
  a_.mov(x86::rsp, gs(offsetof(VcpuFrame, return_stack_top)));
  a_.mov(x86::rax, gs(kTransfer + offsetof(FastTransfer, stack_end)));
  a_.mov(x86::ptr(x86::rsp), x86::rax);
  a_.jmp(done);
  a_.bind(slow);
  to_slow_path();
}

// kT2 = delta of the TLB entry for all RCX elements from `address` on. kT0 = offset of the TlbSet.
// Changes RAX, flags.
void StubEmitter::find_page(const Gp& address, unsigned log2, std::size_t tag, const Label& miss) {
  a_.lea(x86::gpq(kT2), x86::ptr(address, x86::rcx, log2, -1));
  a_.mov(x86::rax, x86::gpq(kT2));
  a_.xor_(x86::rax, address);
  a_.shr(x86::rax, 12);
  a_.jnz(miss);
  a_.pext(x86::rax, address, gs(offsetof(VcpuFrame, tlb_index_mask)));
  a_.lea(x86::rax, x86::ptr(x86::gpq(kT0), x86::rax, 3));
  a_.and_(x86::gpq(kT2), -4096);
  const auto entry = [](std::size_t member) {
    x86::Mem m = x86::ptr(x86::rax, static_cast<i32>(member), 8);
    m.setSegment(x86::gs);
    return m;
  };
  a_.cmp(x86::gpq(kT2), entry(tag));
  a_.jne(miss);
  a_.mov(x86::gpq(kT2), entry(offsetof(TlbSet, delta)));
}

void StubEmitter::emit_string(bool move, unsigned log2) {
  const Label slow = a_.newLabel(), none = a_.newLabel();
  a_.bind(move ? string_move[log2] : string_store[log2]);
  keep_for_slow_path();
  a_.test(gs(offsetof(VcpuFrame, cpu.rflags), 4), static_cast<i32>(kFlagDf));
  a_.jnz(slow);
  a_.test(x86::rcx, x86::rcx);
  a_.jz(none);
  a_.cmp(x86::rcx, static_cast<i32>(kPageBytes >> log2));
  a_.ja(slow);
  if (move) {
    find_page(x86::rsi, log2, offsetof(TlbSet, read_tag), slow);
    a_.mov(x86::rdx, x86::gpq(kT2));
  }
  find_page(x86::rdi, log2, offsetof(TlbSet, write_tag), slow);
  a_.mov(x86::rax, gpr_slot(kRax));
  a_.add(x86::rdi, x86::gpq(kT2));
  if (move) a_.add(x86::rsi, x86::rdx);
  const unsigned size = 1u << log2;
  const x86::Mem to = x86::ptr(x86::rdi, 0, size);
  if (move) {
    a_.rep().movs(to, x86::ptr(x86::rsi, 0, size));
    a_.sub(x86::rsi, x86::rdx);
  } else if (log2 == 0) {
    a_.rep().stos(to, x86::al);
  } else if (log2 == 1) {
    a_.rep().stos(to, x86::ax);
  } else if (log2 == 2) {
    a_.rep().stos(to, x86::eax);
  } else {
    a_.rep().stos(to, x86::rax);
  }
  a_.sub(x86::rdi, x86::gpq(kT2));
  a_.bind(none);
  a_.inc(gs(offsetof(VcpuFrame, fast_strings)));
  restore_captured_flags();
  a_.mov(x86::rax, gpr_slot(kRax));
  a_.mov(x86::rdx, gpr_slot(kRdx));
  a_.ret();
  a_.bind(slow);
  to_slow_path();
}

}  // namespace emu
