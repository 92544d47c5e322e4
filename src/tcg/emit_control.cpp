// SPDX-License-Identifier: Apache-2.0
// Near jumps, calls, returns and loops.
// Source: Intel SDM vol. 2 JMP, Jcc, CALL, RET, LOOP/LOOPcc, JCXZ; vol. 1 6.4.
// Not modelled: #GP of a branch beyond the CS limit at the branch itself (it is raised at the
// target).
#include "base/check.h"
#include "tcg/emit_context.h"

namespace emu {
namespace {

unsigned branch_bytes(const GuestInstruction& g) {
  if (g.info.machine_mode == ZYDIS_MACHINE_MODE_LONG_64) return 8;  // a 66 prefix is ignored
  return g.info.operand_width == 16 ? 2 : 4;
}

}  // namespace

u64 EmitContext::direct_target(const GuestInstruction& g) const {
  const u64 target = g.next_rip() + static_cast<u64>(g.operands[0].imm.value.s);
  switch (branch_bytes(g)) {
    case 2:
      return target & 0xffffu;
    case 4:
      return target & 0xffffffffu;
    default:
      return target;
  }
}

void EmitContext::emit_control(const GuestInstruction& g) {
  switch (g.info.mnemonic) {
    case ZYDIS_MNEMONIC_JMP:
      return emit_jump(g);
    case ZYDIS_MNEMONIC_CALL:
      return emit_call(g);
    case ZYDIS_MNEMONIC_RET:
      return emit_return(g);
    case ZYDIS_MNEMONIC_LOOP:
    case ZYDIS_MNEMONIC_LOOPE:
    case ZYDIS_MNEMONIC_LOOPNE:
    case ZYDIS_MNEMONIC_JCXZ:
    case ZYDIS_MNEMONIC_JECXZ:
    case ZYDIS_MNEMONIC_JRCXZ:
      return emit_loop(g);
    default:
      exit_conditional(g.info.opcode & 15, direct_target(g));
      exit_direct(next_rip(g));
  }
}

u64 EmitContext::next_rip(const GuestInstruction& g) const {
  return mode_.code64() ? g.next_rip() : g.next_rip() & 0xffffffffu;
}

// kT0 = the target in a register or in memory, zero-extended.
void EmitContext::load_target(const GuestInstruction& g) {
  const ZydisDecodedOperand& op = g.operands[0];
  const unsigned bytes = branch_bytes(g);
  if (op.type == ZYDIS_OPERAND_TYPE_REGISTER) {
    const u8 from = host_register(guest_register(op.reg.value).number, kT0);
    if (bytes == 8) {
      if (from != kT0) as_.mov(kT0, from);
    } else {
      as_.zero_extend(kT0, from, bytes);
    }
    return;
  }
  const HostMem from =
      open_operand(g, op, {.size = bytes, .read = true, .segment = segment_of(op)});
  as_.load(kT0, from, bytes);
  end_access();
}

void EmitContext::emit_jump(const GuestInstruction& g) {
  if (g.operands[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
    settle_flags_at_exit(g);
    return exit_direct(direct_target(g));
  }
  load_target(g);
  settle_flags_at_exit(g);
  emit_indirect_exit();
}

void EmitContext::emit_call(const GuestInstruction& g) {
  const bool direct = g.operands[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE;
  const unsigned bytes = branch_bytes(g);
  if (!direct) {
    load_target(g);
    as_.store(HostMem::frame(EMU_FRAME(spill[0])), kT0);
  }
  const HostMem to = open_stack(g, -static_cast<i64>(bytes),
                                {.size = bytes, .write = true, .segment = kSs, .partial = true});
  const u64 back = next_rip(g);
  if (static_cast<i64>(back) == static_cast<i32>(back)) {
    out_->movable = false;
    as_.store_imm(to, static_cast<i32>(back), bytes);
  } else {
    load_rip(kT2, back);
    as_.store(to, kT2, bytes);
  }
  adjust_stack(-static_cast<i64>(bytes));
  end_access();
  settle_flags_at_exit(g);
  if (direct) return call_direct(direct_target(g), back);
  as_.load(kT0, HostMem::frame(EMU_FRAME(spill[0])));
  call_indirect(back);
}

void EmitContext::emit_return(const GuestInstruction& g) {
  const unsigned bytes = branch_bytes(g);
  i64 release = bytes;
  if (g.info.operand_count_visible > 0 && g.operands[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
    release += static_cast<i64>(g.operands[0].imm.value.u & 0xffff);
  }
  const HostMem from = open_stack(g, 0, {.size = bytes, .read = true, .segment = kSs});
  as_.load(kT0, from, bytes);
  adjust_stack(release);
  end_access();
  settle_flags_at_exit(g);
  exit_return();
}

// Counts without touching flags. The address size selects CX, ECX or RCX.
void EmitContext::emit_loop(const GuestInstruction& g) {
  const unsigned width = g.info.address_width / 8u;
  const bool counts = g.info.mnemonic == ZYDIS_MNEMONIC_LOOP ||
                      g.info.mnemonic == ZYDIS_MNEMONIC_LOOPE ||
                      g.info.mnemonic == ZYDIS_MNEMONIC_LOOPNE;
  if (counts) {
    const HostMem less = HostMem::at(hRcx, -1);
    if (width == 2) {
      as_.lea(kT0, less, 4);
      as_.mov(hRcx, kT0, 2);
    } else {
      as_.lea(hRcx, less, width);
    }
  }
  u32 zero;
  if (width == 2) {
    as_.mov(kT2, hRcx);
    as_.zero_extend(hRcx, hRcx, 2);
    const u32 is_zero = as_.jecxz_short();
    as_.mov(hRcx, kT2);
    const u32 is_not = as_.jmp_short();
    as_.patch_short(is_zero);
    as_.mov(hRcx, kT2);
    zero = as_.jmp_forward();
    as_.patch_short(is_not);
  } else {
    const u32 is_zero = width == 8 ? as_.jrcxz_short() : as_.jecxz_short();
    const u32 is_not = as_.jmp_short();
    as_.patch_short(is_zero);
    zero = as_.jmp_forward();
    as_.patch_short(is_not);
  }
  // Here the count is not zero; `zero` is taken when it is.
  const u64 target = direct_target(g), next = next_rip(g);
  if (!counts) {
    exit_direct(next);
    as_.patch(zero);
    exit_direct(target);
    return;
  }
  if (g.info.mnemonic == ZYDIS_MNEMONIC_LOOPE) exit_conditional(kCcZ, target);
  if (g.info.mnemonic == ZYDIS_MNEMONIC_LOOPNE) exit_conditional(kCcNz, target);
  if (g.info.mnemonic == ZYDIS_MNEMONIC_LOOP) exit_direct(target);
  as_.patch(zero);
  exit_direct(next);
}

}  // namespace emu
