// SPDX-License-Identifier: Apache-2.0
#include "tcg/stubs.h"

#include "tcg/stub_emitter.h"

namespace emu {
namespace {

constexpr unsigned kSaved[] = {3, 5, 12, 13, 14, 15};  // callee-saved: rbx rbp r12-r15

}  // namespace

void StubEmitter::emit_enter() {
  a_.bind(enter);
  for (unsigned r : kSaved) a_.push(x86::gpq(r));
  a_.sub(x86::rsp, 8);  // 16-byte aligned for C++ called from blocks
  a_.mov(gs(offsetof(VcpuFrame, host_stack_pointer)), x86::rsp);
  a_.mov(x86::rsp, gs(offsetof(VcpuFrame, return_stack_top)));
  a_.mov(gs(offsetof(VcpuFrame, leave_reason)), 0);
  a_.mov(x86::gpq(kT0), x86::rsi);
  load_flags();
  reload(true);
  a_.jmp(x86::gpq(kT0));

  a_.bind(leave);
  a_.mov(x86::eax, gs(offsetof(VcpuFrame, leave_reason), 4));
  a_.bind(leave_tail_);
  a_.mov(x86::rsp, gs(offsetof(VcpuFrame, host_stack_pointer)));
  a_.add(x86::rsp, 8);
  for (unsigned i = 6; i-- > 0;) a_.pop(x86::gpq(kSaved[i]));
  a_.ret();
}

void StubEmitter::emit_slow_access() {
  a_.bind(slow_access);
  spill();
  capture_flags();
  load_owner();
  a_.mov(x86::rsi, x86::gpq(kT0));
  a_.mov(x86::edx, x86::gpd(kT1));
  a_.mov(x86::rcx, x86::ptr(x86::rsp));
  to_host_stack();
  a_.sub(x86::rsp, 16);
  a_.mov(x86::ptr(x86::rsp), x86::gpq(kT0));
  a_.lea(x86::r8, x86::ptr(x86::rsp, 8));
  call(reinterpret_cast<const void*>(callbacks_.slow_access));
  leave_if_asked();
  a_.mov(x86::gpq(kT1), x86::rax);
  a_.mov(x86::gpq(kT0), x86::ptr(x86::rsp));
  a_.mov(x86::rcx, x86::ptr(x86::rsp, 8));
  to_return_stack();
  Label direct = a_.newLabel();
  a_.test(x86::ecx, x86::ecx);
  a_.jz(direct);
  a_.add(x86::qword_ptr(x86::rsp), 5);  // past the jump to the inline access
  a_.bind(direct);
  restore_captured_flags();
  reload(false);
  a_.ret();
}

void StubEmitter::emit_commit(const Label& entry, bool may_leave) {
  a_.bind(entry);
  spill();
  capture_flags();
  load_owner();
  a_.mov(x86::rsi, x86::ptr(x86::rsp));
  to_host_stack();
  call(reinterpret_cast<const void*>(may_leave ? callbacks_.commit_write : callbacks_.commit_part));
  if (may_leave) leave_if_asked();
  to_return_stack();
  restore_captured_flags();
  reload(false);
  a_.ret();
}

void StubEmitter::emit_call_system() {
  a_.bind(call_system);
  a_.mov(gs(offsetof(VcpuFrame, exit_address)), x86::gpq(kT0));
  spill();
  capture_flags();
  merge_flags();
  load_owner();
  a_.mov(x86::rsi, x86::gpq(kT1));
  to_host_stack();
  call(reinterpret_cast<const void*>(callbacks_.call_system));
  leave_if_asked();
  Label elsewhere = a_.newLabel();
  a_.test(x86::rax, x86::rax);
  a_.jnz(elsewhere);
  to_return_stack();
  load_flags();
  reload(true);
  a_.ret();

  a_.bind(elsewhere);
  a_.mov(x86::gpq(kT0), x86::rax);
  a_.mov(x86::rsp, gs(offsetof(VcpuFrame, return_stack_top)));
  load_flags();
  reload(true);
  a_.jmp(x86::gpq(kT0));
}

void StubEmitter::emit_faults() {
  a_.bind(raise);
  spill();
  capture_flags();
  merge_flags();
  load_owner();
  a_.mov(x86::esi, x86::gpd(kT1));
  a_.mov(x86::rdx, x86::ptr(x86::rsp));
  to_host_stack();
  call(reinterpret_cast<const void*>(callbacks_.raise));
  a_.jmp(leave);

  a_.bind(host_fault);
  spill();
  capture_flags();
  merge_flags();
  load_owner();
  a_.mov(x86::rsp, gs(offsetof(VcpuFrame, host_stack_pointer)));
  call(reinterpret_cast<const void*>(callbacks_.host_fault));
  a_.jmp(leave);
}

void StubEmitter::emit_exits() {
  a_.bind(link_exit);
  a_.mov(gs(offsetof(VcpuFrame, exit_argument), 4), x86::gpd(kT1));
  leave_with(LeaveReason::kLink);

  a_.bind(loop_exit);
  a_.mov(gs(offsetof(VcpuFrame, cpu.rip)), x86::gpq(kT0));
  leave_with(LeaveReason::kLoop);

  for (unsigned slot = 0; slot < kJumpCacheSlots; ++slot) {
    const std::size_t base = offsetof(VcpuFrame, jump_cache) + slot * sizeof(JumpCacheSlot);
    Label hit = a_.newLabel(), miss = a_.newLabel();
    a_.bind(indirect[slot]);
    a_.pext(x86::gpq(kT1), x86::gpq(kT0), gs(offsetof(VcpuFrame, jump_index_mask)));
    a_.mov(x86::gpq(kT2), x86::rcx);
    const auto table = [&](std::size_t member) {
      x86::Mem m = x86::ptr(static_cast<u64>(base + member), x86::gpq(kT1), 3, 8);
      m.setSegment(x86::gs);
      return m;
    };
    a_.mov(x86::rcx, table(offsetof(JumpCacheSlot, negated_rip)));
    a_.lea(x86::rcx, x86::ptr(x86::rcx, x86::gpq(kT0)));
    a_.jecxz(x86::rcx, hit);
    a_.mov(x86::rcx, x86::gpq(kT2));
    a_.jmp(miss);
    a_.bind(hit);
    a_.mov(x86::rcx, x86::gpq(kT2));
    a_.jmp(table(offsetof(JumpCacheSlot, code)));
    a_.bind(miss);
    a_.jmp(indirect_miss);
  }
  a_.bind(indirect_miss);
  a_.mov(gs(offsetof(VcpuFrame, cpu.rip)), x86::gpq(kT0));
  leave_with(LeaveReason::kIndirect);

  for (Label* entries : {underflow, access_barrier, syscall_barrier}) {
    for (unsigned slot = 0; slot <= kJumpCacheSlots; ++slot) {
      a_.bind(entries[slot]);
      a_.mov(x86::rsp, gs(offsetof(VcpuFrame, return_stack_top)));
      a_.jmp(slot < kJumpCacheSlots ? indirect[slot] : loop_exit);
    }
  }
}

void StubEmitter::emit_all() {
  for (Label* l :
       {&enter, &leave, &leave_tail_, &slow_access, &commit_write, &commit_part, &call_system,
        &link_exit, &loop_exit, &raise, &host_fault, &indirect_miss, &syscall, &sysret}) {
    *l = a_.newLabel();
  }
  for (Label& l : indirect) l = a_.newLabel();
  for (Label* entries : {underflow, access_barrier, syscall_barrier}) {
    for (unsigned slot = 0; slot <= kJumpCacheSlots; ++slot) entries[slot] = a_.newLabel();
  }
  for (unsigned log2 = 0; log2 < 4; ++log2) {
    string_store[log2] = a_.newLabel();
    string_move[log2] = a_.newLabel();
  }
  emit_enter();
  emit_slow_access();
  emit_commit(commit_write, true);
  emit_commit(commit_part, false);
  emit_call_system();
  emit_faults();
  emit_exits();
  emit_syscall();
  emit_sysret();
  for (unsigned log2 = 0; log2 < 4; ++log2) {
    emit_string(false, log2);
    emit_string(true, log2);
  }
}

Result<Stubs> emit_stubs(CodeCache& cache, const StubCallbacks& callbacks) {
  asmjit::CodeHolder code;
  code.init(asmjit::Environment::host(), reinterpret_cast<u64>(cache.next()));
  x86::Assembler assembler(&code);
  StubEmitter emitter(assembler, callbacks);
  emitter.emit_all();
  if (assembler.finalize() != asmjit::kErrorOk || code.flatten() != asmjit::kErrorOk ||
      code.resolveUnresolvedLinks() != asmjit::kErrorOk ||
      code.relocateToBase(reinterpret_cast<u64>(cache.next())) != asmjit::kErrorOk) {
    return fail("the assembler cannot emit the translator's stubs");
  }
  std::vector<u8> bytes(code.codeSize());
  code.copyFlattenedData(bytes.data(), bytes.size());
  const u8* base = cache.append(bytes.data(), bytes.size());
  const auto at = [&](const Label& l) { return base + code.labelOffset(l); };
  Stubs stubs;
  stubs.table.slow_access = at(emitter.slow_access);
  stubs.table.commit_write = at(emitter.commit_write);
  stubs.table.commit_part = at(emitter.commit_part);
  stubs.table.call_system = at(emitter.call_system);
  stubs.table.link_exit = at(emitter.link_exit);
  stubs.table.loop_exit = at(emitter.loop_exit);
  stubs.table.raise = at(emitter.raise);
  stubs.table.syscall = at(emitter.syscall);
  stubs.table.sysret = at(emitter.sysret);
  for (unsigned i = 0; i < 4; ++i) {
    stubs.table.string_store[i] = at(emitter.string_store[i]);
    stubs.table.string_move[i] = at(emitter.string_move[i]);
  }
  stubs.host_fault = at(emitter.host_fault);
  for (unsigned i = 0; i < kJumpCacheSlots; ++i) stubs.indirect_exit[i] = at(emitter.indirect[i]);
  for (unsigned i = 0; i <= kJumpCacheSlots; ++i) {
    stubs.return_underflow[i] = at(emitter.underflow[i]);
    stubs.access_barrier[i] = at(emitter.access_barrier[i]);
    stubs.syscall_barrier[i] = at(emitter.syscall_barrier[i]);
  }
  stubs.table.indirect_exit = stubs.indirect_exit[0];
  stubs.table.indirect_miss = at(emitter.indirect_miss);
  stubs.enter = reinterpret_cast<decltype(stubs.enter)>(reinterpret_cast<u64>(at(emitter.enter)));
  return stubs;
}

}  // namespace emu
