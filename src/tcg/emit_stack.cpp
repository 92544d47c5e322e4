// SPDX-License-Identifier: Apache-2.0
// PUSH, POP, PUSHA, POPA, ENTER, LEAVE. Memory first, registers last.
// Source: Intel SDM vol. 2 (each instruction); vol. 1 6.2.
#include "tcg/emit_context.h"

namespace emu {
namespace {

unsigned operand_bytes(const GuestInstruction& g) {
  return g.info.operand_width / 8u;
}

}  // namespace

void EmitContext::emit_stack(const GuestInstruction& g) {
  switch (g.info.mnemonic) {
    case ZYDIS_MNEMONIC_PUSH:
      return emit_push(g);
    case ZYDIS_MNEMONIC_POP:
      return emit_pop(g);
    case ZYDIS_MNEMONIC_PUSHA:
    case ZYDIS_MNEMONIC_PUSHAD:
      return emit_push_all(g);
    case ZYDIS_MNEMONIC_POPA:
    case ZYDIS_MNEMONIC_POPAD:
      return emit_pop_all(g);
    case ZYDIS_MNEMONIC_ENTER:
      return emit_enter(g);
    default:
      return emit_leave(g);
  }
}

void EmitContext::emit_push(const GuestInstruction& g) {
  const ZydisDecodedOperand& op = g.operands[0];
  const unsigned bytes = operand_bytes(g);
  const i64 down = -static_cast<i64>(bytes);
  if (op.type == ZYDIS_OPERAND_TYPE_MEMORY) {
    const HostMem from =
        open_operand(g, op, {.size = bytes, .read = true, .segment = segment_of(op)});
    as_.load(kT2, from, bytes);
    end_access();
    as_.store(HostMem::frame(EMU_FRAME(spill[0])), kT2);
  }
  // A segment register is written as two bytes, the rest of its slot is left alone (SDM: PUSH).
  const bool segment = op.type == ZYDIS_OPERAND_TYPE_REGISTER &&
                       ZydisRegisterGetClass(op.reg.value) == ZYDIS_REGCLASS_SEGMENT;
  const HostMem to = open_stack(g, down, {.size = bytes, .write = true, .segment = kSs});
  if (segment) {
    const i32 slot = EMU_FRAME(cpu.segments) +
                     static_cast<i32>(sizeof(Segment)) * (op.reg.value - ZYDIS_REGISTER_ES) +
                     static_cast<i32>(offsetof(Segment, selector));
    as_.load(kT2, HostMem::frame(slot), 2);
    as_.store(to, kT2, bytes == 8 ? 8 : 2);
  } else if (op.type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
    as_.store_imm(to, static_cast<i32>(op.imm.value.s), bytes);
  } else if (op.type == ZYDIS_OPERAND_TYPE_MEMORY) {
    as_.load(kT2, HostMem::frame(EMU_FRAME(spill[0])));
    as_.store(to, kT2, bytes);
  } else {
    as_.store(to, host_register(guest_register(op.reg.value).number, kT2), bytes);
  }
  adjust_stack(down);
  end_access();
}

void EmitContext::emit_pop(const GuestInstruction& g) {
  const ZydisDecodedOperand& op = g.operands[0];
  const unsigned bytes = operand_bytes(g);
  const HostMem from = open_stack(g, 0, {.size = bytes, .read = true, .segment = kSs});
  if (op.type == ZYDIS_OPERAND_TYPE_REGISTER) {
    const u8 guest = guest_register(op.reg.value).number;
    if (bytes >= 4 && guest != kRsp && kHostRegister[guest] != kInFrame) {
      as_.load(kHostRegister[guest], from, bytes);
      end_access();
      return adjust_stack(bytes);
    }
    as_.load(kT0, from, bytes);
    end_access();
    adjust_stack(bytes);
    write_register(guest, kT0, bytes);
    return;
  }
  as_.load(kT2, from, bytes);
  end_access();
  as_.store(HostMem::frame(EMU_FRAME(spill[0])), kT2);
  // An address based on rSP uses its value after the pop.
  const bool from_sp = guest_register(op.mem.base).number == kRsp;
  load_offset(g, op, from_sp ? static_cast<i64>(bytes) : 0);
  begin_access(g, {.size = bytes, .write = true, .segment = segment_of(op)});
  as_.load(kT2, HostMem::frame(EMU_FRAME(spill[0])));
  as_.store(host_operand(), kT2, bytes);
  adjust_stack(bytes);
  end_access();
}

void EmitContext::emit_push_all(const GuestInstruction& g) {
  const unsigned bytes = operand_bytes(g);
  for (u8 n = 0; n < 8; ++n) {
    load_stack_offset(-static_cast<i64>(bytes) * (n + 1));
    begin_access(g, {.size = bytes, .write = true, .segment = kSs, .partial = n != 7});
    as_.store(host_operand(), kHostRegister[n], bytes);
    if (n == 7) adjust_stack(-static_cast<i64>(bytes) * 8);
    end_access();
  }
}

// Everything is read before any register changes. rSP's slot is skipped.
void EmitContext::emit_pop_all(const GuestInstruction& g) {
  const unsigned bytes = operand_bytes(g);
  for (unsigned n = 0; n < 8; ++n) {
    if (n == 3) continue;
    load_stack_offset(static_cast<i64>(bytes) * n);
    begin_access(g, {.size = bytes, .read = true, .segment = kSs});
    as_.load(kT2, host_operand(), bytes);
    end_access();
    as_.store(HostMem::frame(EMU_FRAME(spill) + 4 * static_cast<i32>(n)), kT2, 4);
  }
  for (unsigned n = 0; n < 8; ++n) {
    if (n == 3) continue;
    as_.load(kT2, HostMem::frame(EMU_FRAME(spill) + 4 * static_cast<i32>(n)), 4);
    as_.mov(static_cast<u8>(kHostRegister[7 - n]), kT2, bytes);
  }
  adjust_stack(static_cast<i64>(bytes) * 8);
}

// `to` = the stack pointer after a push of `step` bytes: a 16-bit stack keeps the upper half of
// ESP.
void EmitContext::load_frame_pointer(u8 to, i64 step) {
  const u8 sp = kHostRegister[kRsp];
  if (stack_bytes() == 2) as_.mov(to, sp, 4);
  as_.lea(to, HostMem::at(sp, static_cast<i32>(-step)), stack_bytes());
}

void EmitContext::emit_enter(const GuestInstruction& g) {
  const unsigned bytes = operand_bytes(g);
  const i64 step = bytes;
  const i64 locals = static_cast<i64>(g.operands[0].imm.value.u & 0xffff);
  const i64 level = static_cast<i64>(g.operands[1].imm.value.u & 31);
  const HostMem saved = HostMem::frame(EMU_FRAME(spill[0]));
  load_stack_offset(-step);
  begin_access(g, {.size = bytes, .write = true, .segment = kSs, .partial = true});
  as_.store(host_operand(), hRbp, bytes);
  end_access();
  for (i64 i = 1; i < level; ++i) {  // the enclosing frames' pointers
    as_.lea(kT0, HostMem::at(hRbp, static_cast<i32>(-step * i)), stack_bytes() == 8 ? 8 : 4);
    truncate_offset(stack_bytes());
    begin_access(g, {.size = bytes, .read = true, .segment = kSs});
    as_.load(kT2, host_operand(), bytes);
    end_access();
    as_.store(saved, kT2);
    load_stack_offset(-step * (i + 1));
    begin_access(g, {.size = bytes, .write = true, .segment = kSs, .partial = true});
    as_.load(kT2, saved);
    as_.store(host_operand(), kT2, bytes);
    end_access();
  }
  const i64 down = -step * (level == 0 ? 1 : level + 1);
  if (level != 0) {  // this frame's own pointer
    load_stack_offset(down);
    begin_access(g, {.size = bytes, .write = true, .segment = kSs, .partial = true});
    load_frame_pointer(kT2, step);
    as_.store(host_operand(), kT2, bytes);
    end_access();
  }
  // The new stack top must be writable, or the instruction faults (SDM: ENTER).
  load_stack_offset(down - locals);
  begin_access(g, {.size = bytes, .read = true, .write = true, .segment = kSs});
  end_access();
  load_frame_pointer(kT0, step);
  adjust_stack(down - locals);
  as_.mov(hRbp, kT0, bytes);
}

void EmitContext::emit_leave(const GuestInstruction& g) {
  const unsigned bytes = operand_bytes(g);
  const unsigned stack = stack_bytes();
  const HostMem from = open_stack(g, 0, {.size = bytes, .read = true, .segment = kSs});
  as_.load(kT0, from, bytes);
  end_access();
  as_.mov(kHostRegister[kRsp], hRbp, stack);
  adjust_stack(bytes);
  as_.mov(hRbp, kT0, bytes);
}

}  // namespace emu
