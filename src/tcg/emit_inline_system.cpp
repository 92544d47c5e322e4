// SPDX-License-Identifier: Apache-2.0
// STI, RDTSC, FS and GS bases, STAC and CLAC, which kernels execute all the time, without leaving
// generated code where the mode makes them simple. The sequences do not touch host flags, which
// hold the guest's. SYSCALL, SYSRET and string instructions that stay in a page have stubs
// (stubs_inline.cpp). Source: Intel SDM vol. 2 STI, RDTSC, STAC, CLAC; vol. 3 6.8.1, 4.6.1 (SMAP).
#include <bit>

#include "tcg/emit_context.h"

namespace emu {

bool EmitContext::emit_inline_system(const GuestInstruction& g) {
  if (mode_.single_step) return false;
  switch (g.info.mnemonic) {
    case ZYDIS_MNEMONIC_STI:
      // The last instruction of a block needs its shadow to be remembered.
      if (!mode_.iopl_ok || mode_.vm86 || &g == &block_->instructions.back()) return false;
      emit_set_interrupts(g);
      return true;
    case ZYDIS_MNEMONIC_RDTSC:
      if (mode_.cpl != 0 && mode_.tsd) return false;
      emit_read_tsc();
      return true;
    case ZYDIS_MNEMONIC_RDFSBASE:
    case ZYDIS_MNEMONIC_RDGSBASE:
    case ZYDIS_MNEMONIC_WRFSBASE:
    case ZYDIS_MNEMONIC_WRGSBASE:
      return emit_segment_base(g);
    case ZYDIS_MNEMONIC_STAC:
    case ZYDIS_MNEMONIC_CLAC:
      return emit_access_switch(g);
    case ZYDIS_MNEMONIC_SYSCALL:
    case ZYDIS_MNEMONIC_SYSRET:
      return emit_transfer(g);
    default:
      return false;
  }
}

// The C++ operation is for what raises an exception: it is entered with nothing done yet.
bool EmitContext::emit_segment_base(const GuestInstruction& g) {
  if (mode_.fsgsbase == 0 || !mode_.code64()) return false;
  const ZydisMnemonic m = g.info.mnemonic;
  const u8 segment = m == ZYDIS_MNEMONIC_RDFSBASE || m == ZYDIS_MNEMONIC_WRFSBASE ? kFs : kGs;
  const HostMem base =
      HostMem::frame(EMU_FRAME(cpu.segments) + static_cast<i32>(sizeof(Segment)) * segment);
  static_assert(offsetof(Segment, base) == 0);
  const u8 guest = guest_register(g.operands[0].reg.value).number;
  const unsigned size = g.info.operand_width / 8u;
  if (m == ZYDIS_MNEMONIC_RDFSBASE || m == ZYDIS_MNEMONIC_RDGSBASE) {
    as_.load(kT0, base);
    write_register(guest, kT0, size);
    return true;
  }
  as_.mov(kT0, host_register(guest, kT0), size);
  if (size == 8) {
    // Canonical: bits 63 to 47 are equal, so that their sign-extended value plus one is 0 or 1.
    as_.mov_imm(kT1, 47);
    as_.sarx(kT2, kT0, kT1);
    as_.lea(kT2, HostMem::at(kT2, 1));
    as_.mov_imm(kT1, ~u64{1});
    as_.pext(kT1, kT2, kT1);
    as_.mov(kT2, hRcx);
    as_.mov(hRcx, kT1);
    const u32 canonical = as_.jrcxz_short();
    as_.mov(hRcx, kT2);
    SystemCall call = describe(g);
    call.handler = segment == kFs ? system_wrfsbase : system_wrgsbase;
    call.reg = guest;
    call_handler(call);
    as_.patch_short(canonical);
    as_.mov(hRcx, kT2);
  }
  as_.store(base, kT0);
  return true;
}

// With SMAP on, EFLAGS.AC decides which TLB set a kernel's accesses use. A translation without the
// checks says nothing about CR4.SMAP, one with them says that AC is clear.
bool EmitContext::emit_access_switch(const GuestInstruction& g) {
  if (!options_.inline_modes || mode_.cpl != 0) return false;
  const bool sets = g.info.mnemonic == ZYDIS_MNEMONIC_STAC;
  const bool checked = mode_.memory_set == static_cast<u32>(MemorySet::kSupervisor);
  if (sets || !checked) emit_flag(kFlagAc, sets);
  if (sets && checked) {
    lift_access_checks(g);
    return true;
  }
  if (!sets && !checked) restore_access_checks(g);
  exit_to_memory_set(g, static_cast<MemorySet>(mode_.memory_set));
  return true;
}

void EmitContext::enter_memory_set(MemorySet set) {
  TranslationMode to = mode_;
  to.memory_set = static_cast<u32>(set) & 3;
  to.unshared = 0;
  as_.store_imm(HostMem::frame(EMU_FRAME(mode)), static_cast<i32>(to.packed()), 4);
}

void EmitContext::lift_access_checks(const GuestInstruction& g) {
  enter_memory_set(MemorySet::kSupervisorAny);
  if (pairs_returns()) {
    // SAFETY: an address used as a number.
    as_.mov_imm(kT1, __builtin_bit_cast(u64, stubs_.access_barrier));
    as_.push(kT1);
  }
  exit_to_memory_set(g, MemorySet::kSupervisorAny);
}

// Falls through where SMAP is off. The return stack is right again if all calls since STAC have
// returned; otherwise it is emptied.
void EmitContext::restore_access_checks(const GuestInstruction& g) {
  as_.load(kT0, HostMem::frame(EMU_FRAME(cpu.cr4)));
  as_.mov_imm(kT1, kCr4Smap);
  as_.pext(kT0, kT0, kT1);
  as_.mov(kT2, hRcx);
  as_.mov(hRcx, kT0);
  const u32 off = as_.jrcxz_short();
  enter_memory_set(MemorySet::kSupervisor);
  if (pairs_returns()) {
    as_.load(hRcx, HostMem::at(hRsp));
    // SAFETY: an address used as a number.
    as_.mov_imm(kT1, u64{0} - __builtin_bit_cast(u64, stubs_.access_barrier));
    as_.lea(hRcx, HostMem::sum(hRcx, kT1));
    const u32 balanced = as_.jrcxz_short();
    as_.load(hRsp, HostMem::frame(EMU_FRAME(return_stack_top)));
    as_.mov_imm(kT1, __builtin_bit_cast(u64, stubs_.checked_stack_end));
    as_.store(HostMem::at(hRsp), kT1);
    const u32 emptied = as_.jmp_short();
    as_.patch_short(balanced);
    as_.lea(hRsp, HostMem::at(hRsp, 8));
    as_.patch_short(emptied);
  }
  as_.mov(hRcx, kT2);
  exit_to_memory_set(g, MemorySet::kSupervisor);
  as_.patch_short(off);
  as_.mov(hRcx, kT2);
}

bool EmitContext::emit_transfer(const GuestInstruction& g) {
  if (!options_.inline_modes || !mode_.code64()) return false;
  const bool enters = g.info.mnemonic == ZYDIS_MNEMONIC_SYSCALL;
  SystemCall call = describe(g);
  if (!enters && call.operand_bytes != 8) return false;
  call.handler = enters ? system_syscall : system_sysret;
  load_call(keep(call));
  load_rip(kT0, next_rip(g));
  as_.jmp_to(enters ? stubs_.syscall : stubs_.sysret);
  return true;
}

// REP STOS and REP MOVS with 64-bit addresses.
bool EmitContext::emit_string_in_page(const GuestInstruction& g, const SystemCall& call) {
  if (!options_.inline_strings || !mode_.code64() || mode_.always_slow || mode_.single_step ||
      call.prefix == 0 || call.address_bytes != 8 || call.segment == kFs || call.segment == kGs) {
    return false;
  }
  const u8* const* stub = nullptr;
  switch (g.info.mnemonic) {
    case ZYDIS_MNEMONIC_STOSB:
    case ZYDIS_MNEMONIC_STOSW:
    case ZYDIS_MNEMONIC_STOSD:
    case ZYDIS_MNEMONIC_STOSQ:
      stub = stubs_.string_store;
      break;
    case ZYDIS_MNEMONIC_MOVSB:
    case ZYDIS_MNEMONIC_MOVSW:
    case ZYDIS_MNEMONIC_MOVSD:
    case ZYDIS_MNEMONIC_MOVSQ:
      stub = stubs_.string_move;
      break;
    default:
      return false;
  }
  load_call(keep(call));
  as_.mov_imm(kT0, EMU_FRAME(tlb) + sizeof(TlbSet) * mode_.memory_set);
  as_.call_to(stub[std::countr_zero(call.operand_bytes)]);
  return true;
}

// EDX:EAX = host TSC + bias + offset; the upper halves become zero.
void EmitContext::emit_read_tsc() {
  as_.word(0x310f);
  as_.mov_imm(kT0, 32);
  as_.shlx(hRdx, hRdx, kT0);
  as_.lea(hRax, HostMem::sum(hRax, hRdx));
  as_.load(kT1, HostMem::frame(EMU_FRAME(tsc_bias)));
  as_.lea(hRax, HostMem::sum(hRax, kT1));
  as_.load(kT1, HostMem::frame(EMU_FRAME(cpu.tsc_offset)));
  as_.lea(hRax, HostMem::sum(hRax, kT1));
  as_.shrx(hRdx, hRax, kT0);
  as_.zero_extend(hRax, hRax, 4);
}

// With an interrupt waiting, the handler sets the shadow and leaves the block. With none, the next
// instruction runs before anybody looks, which is all the shadow asks for: it is in this block.
void EmitContext::emit_set_interrupts(const GuestInstruction& g) {
  SystemCall call = describe(g);
  call.handler = system_sti;
  call.ends_block = true;
  as_.mov(kT1, hRcx);
  as_.load(hRcx, HostMem::frame(EMU_FRAME(interrupt_line)), 4);
  const u32 quiet = as_.jrcxz_short();
  as_.mov(hRcx, kT1);
  call_handler(call);
  const u32 done = as_.jmp_short();
  as_.patch_short(quiet);
  as_.mov(hRcx, kT1);
  emit_flag(kFlagIf, true);
  as_.patch_short(done);
}

}  // namespace emu
