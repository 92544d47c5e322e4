// SPDX-License-Identifier: Apache-2.0
// Instructions whose operands are not what the generic path expects.
// Source: Intel SDM vol. 2 (each instruction).
#include "cpu/fault.h"
#include "tcg/emit_context.h"

namespace emu {

void EmitContext::emit_special(const GuestInstruction& g) {
  switch (g.info.mnemonic) {
    case ZYDIS_MNEMONIC_LEA:
      return emit_lea(g);
    case ZYDIS_MNEMONIC_MOV:
      return emit_mov_from_segment(g);
    case ZYDIS_MNEMONIC_XLAT:
      return emit_xlat(g);
    case ZYDIS_MNEMONIC_CLD:
      return emit_flag(kFlagDf, false);
    case ZYDIS_MNEMONIC_STD:
      return emit_flag(kFlagDf, true);
    case ZYDIS_MNEMONIC_CLI:
      return emit_flag(kFlagIf, false);
    case ZYDIS_MNEMONIC_SWAPGS:
      return emit_swapgs();
    case ZYDIS_MNEMONIC_PUSHFQ:
      return emit_push_flags(g);
    case ZYDIS_MNEMONIC_BT:
    case ZYDIS_MNEMONIC_BTS:
    case ZYDIS_MNEMONIC_BTR:
    case ZYDIS_MNEMONIC_BTC:
      return emit_bit_string(g);
    case ZYDIS_MNEMONIC_BOUND:
      return emit_bound(g);
    case ZYDIS_MNEMONIC_SALC:
      return emit_salc();
    case ZYDIS_MNEMONIC_AAM:
      return emit_aam(g);
    case ZYDIS_MNEMONIC_AAD:
      return emit_aad(g);
    case ZYDIS_MNEMONIC_VZEROALL:
    case ZYDIS_MNEMONIC_VZEROUPPER:
      return emit_zero_upper(g);
    default:
      return emit_masked(g);
  }
}

void EmitContext::emit_lea(const GuestInstruction& g) {
  load_offset(g, g.operands[1]);
  write_register(guest_register(g.operands[0].reg.value).number, kT0, g.operands[0].size / 8u);
}

void EmitContext::emit_mov_from_segment(const GuestInstruction& g) {
  const ZydisDecodedOperand& to = g.operands[0];
  const i32 slot =
      EMU_FRAME(cpu.segments) +
      static_cast<i32>(sizeof(Segment)) * (g.operands[1].reg.value - ZYDIS_REGISTER_ES) +
      static_cast<i32>(offsetof(Segment, selector));
  if (to.type == ZYDIS_OPERAND_TYPE_REGISTER) {
    as_.load(kT0, HostMem::frame(slot), 2);
    return write_register(guest_register(to.reg.value).number, kT0, to.size / 8u);
  }
  load_offset(g, to);
  begin_access(g, {.size = 2, .write = true, .segment = segment_of(to)});
  as_.load(kT2, HostMem::frame(slot), 2);
  as_.store(host_operand(), kT2, 2);
  end_access();
}

// AL = [segment: rBX + AL].
void EmitContext::emit_xlat(const GuestInstruction& g) {
  const unsigned width = g.info.address_width / 8u;
  as_.zero_extend(kT1, hRax, 1);
  as_.lea(kT0, HostMem::sum(hRbx, kT1), width == 8 ? 8 : 4);
  if (width == 2) truncate_offset(2);
  u8 segment = kDs;
  if (const ZydisDecodedOperand* op = memory_operand(g); op != nullptr) segment = segment_of(*op);
  begin_access(g, {.size = 1, .read = true, .segment = segment});
  as_.load_partial(hRax, host_operand(), 1);
  end_access();
}

// kT0 = kT0 & mask without touching flags: PEXT and PDEP with the same mask. Uses kT1.
void EmitContext::keep_bits(u64 mask) {
  as_.mov_imm(kT1, mask);
  as_.pext(kT0, kT0, kT1);
  as_.pdep(kT0, kT0, kT1);
}

// DF and IF live in cpu.rflags.
void EmitContext::emit_flag(u64 flag, bool set) {
  const HostMem rflags = HostMem::frame(EMU_FRAME(cpu.rflags));
  as_.load(kT0, rflags);
  keep_bits(~flag);
  if (set) as_.lea(kT0, HostMem::at(kT0, static_cast<i32>(flag)));
  as_.store(rflags, kT0);
}

// At CPL 0: the GS base and IA32_KERNEL_GS_BASE change places.
void EmitContext::emit_swapgs() {
  const HostMem active =
      HostMem::frame(EMU_FRAME(cpu.segments) + static_cast<i32>(sizeof(Segment) * kGs));
  const HostMem inactive = HostMem::frame(EMU_FRAME(cpu.kernel_gs_base));
  static_assert(offsetof(Segment, base) == 0);
  as_.load(kT0, active);
  as_.load(kT1, inactive);
  as_.store(active, kT1);
  as_.store(inactive, kT0);
}

// PUSHFQ: status flags from the host, the others from cpu.rflags; VM and RF read as zero.
void EmitContext::emit_push_flags(const GuestInstruction& g) {
  const unsigned bytes = g.info.operand_width / 8u;
  save_flags();  // SF, ZF, AF, PF, CF in bits 15..8, OF in bit 0
  as_.load(kT0, HostMem::frame(EMU_FRAME(spill[7])), 2);
  as_.mov(kT2, kT0);
  keep_bits(1);
  as_.mov_imm(kT1, 11);
  as_.shlx(kT0, kT0, kT1);
  as_.xchg(kT0, kT2);
  keep_bits(0xd500);
  as_.mov_imm(kT1, 8);
  as_.shrx(kT0, kT0, kT1);
  as_.lea(kT2, HostMem::sum(kT0, kT2));
  as_.load(kT0, HostMem::frame(EMU_FRAME(cpu.rflags)));
  keep_bits(0xffffffff & ~(kFlagsArithmetic | kFlagVm | kFlagRf));
  as_.lea(kT2, HostMem::sum(kT0, kT2));
  as_.store(HostMem::frame(EMU_FRAME(spill[0])), kT2);
  load_stack_offset(-static_cast<i64>(bytes));
  begin_access(g, {.size = bytes, .write = true, .segment = kSs});
  as_.load(kT2, HostMem::frame(EMU_FRAME(spill[0])));
  as_.store(host_operand(), kT2, bytes);
  adjust_stack(-static_cast<i64>(bytes));
  end_access();
}

// BT and friends with a register bit offset: the offset is signed and may lead outside the operand.
// The address moves by whole operands; what is left of the offset (modulo the operand's bits)
// selects the bit.
void EmitContext::emit_bit_string(const GuestInstruction& g) {
  const ZydisDecodedOperand& memory = g.operands[0];
  const unsigned size = memory.size / 8u;
  const unsigned log2 = size == 2 ? 1 : size == 4 ? 2 : 3;
  const u8 guest = guest_register(g.operands[1].reg.value).number;
  load_offset(g, memory);
  as_.sign_extend(kT1, host_register(guest, kT1), size);
  as_.mov_imm(kT2, 3 + log2);
  as_.sarx(kT1, kT1, kT2);
  as_.lea(kT0, {kT0, kT1, static_cast<u8>(log2), false, 0});
  truncate_offset(g.info.address_width / 8u);
  const bool write = g.info.mnemonic != ZYDIS_MNEMONIC_BT;
  begin_access(g, {.size = size, .read = true, .write = write, .segment = segment_of(memory)});
  as_.lea(kT0, host_operand());
  const unsigned width = size == 8 ? 8 : 4;
  const u64 shift = width * 8 - (3 + log2);
  as_.mov_imm(kT1, shift);
  as_.shlx(kT2, host_register(guest, kT2), kT1, width);
  as_.shrx(kT2, kT2, kT1, width);
  Renaming names;
  names.reg = kT2;
  names.memory = HostMem::at(kT0);
  emit_renamed(as_, g, names);
  end_access();
}

// #BR if the signed index is outside [lower, upper]. Flags are not changed.
void EmitContext::emit_bound(const GuestInstruction& g) {
  const ZydisDecodedOperand& memory = g.operands[1];
  const unsigned size = g.operands[0].size / 8u;
  for (unsigned i = 0; i < 2; ++i) {
    load_offset(g, memory, static_cast<i64>(i) * size);
    begin_access(g, {.size = size, .read = true, .segment = segment_of(memory)});
    as_.load_signed(kT2, host_operand(), size);
    end_access();
    as_.store(HostMem::frame(EMU_FRAME(spill[0]) + 8 * static_cast<i32>(i)), kT2);
  }
  save_flags();
  as_.sign_extend(kT0, kHostRegister[guest_register(g.operands[0].reg.value).number], size);
  as_.alu_load(7, kT0, HostMem::frame(EMU_FRAME(spill[0])));
  const u32 below = as_.jcc_forward(12);
  as_.alu_load(7, kT0, HostMem::frame(EMU_FRAME(spill[1])));
  const u32 fine = as_.jcc_forward(14);
  as_.patch(below);
  restore_flags();
  emit_raise(kVectorBr, false);
  as_.patch(fine);
  restore_flags();
}

// AL = CF ? FFh : 0.
void EmitContext::emit_salc() {
  as_.mov_imm(kT0, 0);
  as_.mov_imm(kT1, 0xff);
  as_.cmov(kCcB, kT0, kT1);
  as_.mov(hRax, kT0, 1);
}

// AH = AL / imm8, AL = AL % imm8; SF, ZF, PF by AL.
void EmitContext::emit_aam(const GuestInstruction& g) {
  const u8 divisor = static_cast<u8>(g.operands[0].imm.value.u);
  if (divisor == 0) return emit_raise(kVectorDe, false);
  as_.mov_imm(kT0, divisor);
  as_.zero_extend(kT1, hRax, 1);
  as_.mov(hRax, kT1, 2);
  as_.divide_byte(kT0);
  as_.swap_low_bytes(hRax);
  as_.test(hRax, hRax, 1);
}

// AL = AL + AH * imm8, AH = 0; SF, ZF, PF by AL.
void EmitContext::emit_aad(const GuestInstruction& g) {
  as_.rorx(kT0, hRax, 8, 4);
  as_.zero_extend(kT0, kT0, 1);
  as_.multiply(kT0, static_cast<u8>(g.operands[0].imm.value.u));
  as_.alu(0, kT0, hRax, 1);
  as_.zero_extend(kT0, kT0, 1);
  as_.mov(hRax, kT0, 2);
  as_.test(hRax, hRax, 1);
}

}  // namespace emu
