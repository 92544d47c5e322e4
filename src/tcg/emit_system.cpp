// SPDX-License-Identifier: Apache-2.0
// Calls of the C++ operations, and exceptions that are known when the code is made.
#include "base/log.h"
#include "cpu/fault.h"
#include "tcg/emit_context.h"

namespace emu {
namespace {

// A register number in the encoding of its file.
u8 register_number(ZydisRegister reg) {
  const GuestRegister r = guest_register(reg);
  if (r.number != kNoRegister) return static_cast<u8>(r.number + (r.high_byte ? 4 : 0));
  const ZyanI8 id = ZydisRegisterGetId(reg);
  return id < 0 ? u8{0} : static_cast<u8>(id);
}

bool is_segment(const ZydisDecodedOperand& op) {
  return op.type == ZYDIS_OPERAND_TYPE_REGISTER &&
         ZydisRegisterGetClass(op.reg.value) == ZYDIS_REGCLASS_SEGMENT;
}

bool is_system_register(const ZydisDecodedOperand& op) {
  if (op.type != ZYDIS_OPERAND_TYPE_REGISTER) return false;
  const ZydisRegisterClass c = ZydisRegisterGetClass(op.reg.value);
  return c == ZYDIS_REGCLASS_SEGMENT || c == ZYDIS_REGCLASS_CONTROL || c == ZYDIS_REGCLASS_DEBUG;
}

// Which handler a mnemonic with several meanings needs.
SystemHandler choose(const GuestInstruction& g) {
  const ZydisDecodedOperand* ops = g.operands;
  switch (g.info.mnemonic) {
    case ZYDIS_MNEMONIC_MOV:
      if (is_segment(ops[0])) return system_mov_to_segment;
      if (is_system_register(ops[0])) {
        return ZydisRegisterGetClass(ops[0].reg.value) == ZYDIS_REGCLASS_CONTROL ? system_mov_to_cr
                                                                                 : system_mov_to_dr;
      }
      return ZydisRegisterGetClass(ops[1].reg.value) == ZYDIS_REGCLASS_CONTROL ? system_mov_from_cr
                                                                               : system_mov_from_dr;
    case ZYDIS_MNEMONIC_POP:
      return system_pop_segment;
    case ZYDIS_MNEMONIC_JMP:
      return system_far_jump;
    case ZYDIS_MNEMONIC_CALL:
      return system_far_call;
    case ZYDIS_MNEMONIC_RET:
      return system_far_return;
    default:
      return system_handler(static_cast<u16>(g.info.mnemonic));
  }
}

u8 segment_target(ZydisMnemonic mnemonic) {
  switch (mnemonic) {
    case ZYDIS_MNEMONIC_LDS:
      return kDs;
    case ZYDIS_MNEMONIC_LES:
      return kEs;
    case ZYDIS_MNEMONIC_LFS:
      return kFs;
    case ZYDIS_MNEMONIC_LGS:
      return kGs;
    default:
      return kSs;
  }
}

bool is_string(const GuestInstruction& g) {
  return g.info.meta.category == ZYDIS_CATEGORY_STRINGOP ||
         g.info.meta.category == ZYDIS_CATEGORY_IOSTRINGOP;
}

u8 repeat_prefix(const GuestInstruction& g) {
  if ((g.info.attributes & ZYDIS_ATTRIB_HAS_REPNE) != 0) return 0xf2;
  const auto rep = ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE;
  return (g.info.attributes & rep) != 0 ? 0xf3 : 0;
}

void describe_string(const GuestInstruction& g, SystemCall& call) {
  call.prefix = repeat_prefix(g);
  for (unsigned i = 0; i < g.info.operand_count; ++i) {
    const ZydisDecodedOperand& op = g.operands[i];
    if (op.type != ZYDIS_OPERAND_TYPE_MEMORY) continue;
    call.operand_bytes = static_cast<u8>(op.size / 8);
    const bool source = op.mem.base == ZYDIS_REGISTER_SI || op.mem.base == ZYDIS_REGISTER_ESI ||
                        op.mem.base == ZYDIS_REGISTER_RSI;
    if (source && op.mem.segment != ZYDIS_REGISTER_NONE) {
      call.segment = static_cast<u8>(op.mem.segment - ZYDIS_REGISTER_ES);
    }
  }
}

void describe_registers(const GuestInstruction& g, SystemCall& call) {
  u8 found[2] = {0, 0};
  unsigned count = 0;
  for (unsigned i = 0; i < g.info.operand_count_visible && count < 2; ++i) {
    if (g.operands[i].type != ZYDIS_OPERAND_TYPE_REGISTER) continue;
    found[count++] = register_number(g.operands[i].reg.value);
  }
  call.reg = found[0];
  call.reg2 = found[1];
  // The system register is `reg` whichever side it stands on; ARPL's register is its source.
  const bool swapped =
      count == 2 && (is_system_register(g.operands[1]) || g.info.mnemonic == ZYDIS_MNEMONIC_ARPL);
  if (swapped) {
    call.reg = found[1];
    call.reg2 = found[0];
  }
}

unsigned area_bytes(const GuestInstruction& g) {
  switch (g.info.mnemonic) {
    case ZYDIS_MNEMONIC_FXSAVE64:
    case ZYDIS_MNEMONIC_FXRSTOR64:
    case ZYDIS_MNEMONIC_XSAVE64:
    case ZYDIS_MNEMONIC_XSAVEC64:
    case ZYDIS_MNEMONIC_XSAVEOPT64:
    case ZYDIS_MNEMONIC_XSAVES64:
    case ZYDIS_MNEMONIC_XRSTOR64:
    case ZYDIS_MNEMONIC_XRSTORS64:
      return 8;
    case ZYDIS_MNEMONIC_FNSTENV:
    case ZYDIS_MNEMONIC_FLDENV:
    case ZYDIS_MNEMONIC_FNSAVE:
    case ZYDIS_MNEMONIC_FRSTOR:
      return g.info.operand_width == 16 ? 2 : 4;
    default:
      return 4;
  }
}

bool is_area(const GuestInstruction& g) {
  const ZydisInstructionCategory c = g.info.meta.category;
  switch (g.info.mnemonic) {
    case ZYDIS_MNEMONIC_FXSAVE:
    case ZYDIS_MNEMONIC_FXSAVE64:
    case ZYDIS_MNEMONIC_FXRSTOR:
    case ZYDIS_MNEMONIC_FXRSTOR64:
    case ZYDIS_MNEMONIC_FNSTENV:
    case ZYDIS_MNEMONIC_FLDENV:
    case ZYDIS_MNEMONIC_FNSAVE:
    case ZYDIS_MNEMONIC_FRSTOR:
      return true;
    default:
      return c == ZYDIS_CATEGORY_XSAVE || c == ZYDIS_CATEGORY_XSAVEOPT;
  }
}

u64 immediate_of(const GuestInstruction& g) {
  for (unsigned i = 0; i < g.info.operand_count_visible; ++i) {
    const ZydisDecodedOperand& op = g.operands[i];
    if (op.type == ZYDIS_OPERAND_TYPE_IMMEDIATE) return op.imm.value.u;
    if (op.type == ZYDIS_OPERAND_TYPE_POINTER) {
      return u64{op.ptr.segment} << 32 | op.ptr.offset;
    }
  }
  return 0;
}

}  // namespace

SystemCall EmitContext::describe(const GuestInstruction& g) const {
  SystemCall call;
  call.rip = g.rip;
  call.length = g.length;
  call.operand_bytes = static_cast<u8>(g.info.operand_width / 8);
  call.address_bytes = static_cast<u8>(g.info.address_width / 8);
  call.mnemonic = static_cast<u16>(g.info.mnemonic);
  call.ends_block = g.ends_block;
  call.immediate = immediate_of(g);
  return call;
}

const SystemCall* EmitContext::keep(SystemCall call) {
  out_->system_calls.push_back(std::make_unique<SystemCall>(call));
  return out_->system_calls.back().get();
}

// kT1 = the object, which the block owns.
void EmitContext::load_call(const SystemCall* call) {
  // SAFETY: an address used as a number.
  const u64 address = __builtin_bit_cast(u64, call);
  if (!as_.mov_relocated(kT1, address, Relocation::Kind::kSystemCall)) out_->movable = false;
}

void EmitContext::call_handler(SystemCall call) {
  load_call(keep(call));
  as_.call_to(stubs_.call_system);
}

void EmitContext::emit_system(const GuestInstruction& g) {
  if (emit_inline_system(g)) return;
  SystemCall call = describe(g);
  // The handler of STI leaves the block, so that the shadow is seen.
  if (g.info.mnemonic == ZYDIS_MNEMONIC_STI) call.ends_block = true;
  call.handler = choose(g);
  if (call.handler == nullptr) return raise_unsupported(g);
  describe_registers(g, call);
  if (is_area(g)) call.operand_bytes = static_cast<u8>(area_bytes(g));
  if (is_string(g)) {
    call.segment = kDs;
    describe_string(g, call);
    if (emit_string_in_page(g, call)) return;
    return call_handler(call);
  }
  if (g.info.mnemonic == ZYDIS_MNEMONIC_IN || g.info.mnemonic == ZYDIS_MNEMONIC_OUT) {
    const ZydisDecodedOperand& data = g.operands[g.info.mnemonic == ZYDIS_MNEMONIC_IN ? 0 : 1];
    const ZydisDecodedOperand& port = g.operands[g.info.mnemonic == ZYDIS_MNEMONIC_IN ? 1 : 0];
    call.operand_bytes = static_cast<u8>(data.size / 8);
    call.reg2 = port.type == ZYDIS_OPERAND_TYPE_REGISTER ? 1 : 0;
    call.immediate &= 0xff;
  }
  const ZydisDecodedOperand* op = nullptr;
  for (unsigned i = 0; i < g.info.operand_count_visible; ++i) {
    if (g.operands[i].type == ZYDIS_OPERAND_TYPE_MEMORY) op = &g.operands[i];
  }
  if (op != nullptr) {
    load_system_operand(g, *op);
    call.memory = true;
    call.segment = segment_of(*op);
  }
  if (g.info.mnemonic == ZYDIS_MNEMONIC_MONITOR) {
    load_pointer(kRax, call.address_bytes);
    add_segment_base(kDs);
    call.memory = true;
  }
  if (call.handler == system_load_far_pointer) call.segment = segment_target(g.info.mnemonic);
  call_handler(call);
}

// kT0 = linear address of a system instruction's memory operand.
void EmitContext::load_system_operand(const GuestInstruction& g, const ZydisDecodedOperand& op) {
  load_offset(g, op);
  const u8 segment = segment_of(op);
  const bool address_only =
      g.info.mnemonic == ZYDIS_MNEMONIC_INVLPG || op.mem.type == ZYDIS_MEMOP_TYPE_AGEN;
  if (address_only || !needs_limit_check(segment)) return add_segment_base(segment);
  free_flags(g);
  const unsigned size = op.size / 8u;
  // ARPL writes only when it raises the level, and checks then.
  const bool write =
      (op.actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) != 0 && g.info.mnemonic != ZYDIS_MNEMONIC_ARPL;
  to_linear(g, segment, size < 1 ? 1 : size > 64 ? 64 : size, write, flags_);
  settle_flags();
}

void EmitContext::emit_raise(u8 vector, bool has_error) {
  as_.mov_imm(kT1, vector | (has_error ? 0x100u : 0u));
  as_.call_to(stubs_.raise);
}

void EmitContext::raise_unsupported(const GuestInstruction& g) {
  if (!logged_.test(g.info.mnemonic)) {
    logged_.set(g.info.mnemonic);
    const char* name = ZydisMnemonicGetString(g.info.mnemonic);
    log(LogLevel::kWarning, "tcg", "no translation for '{}' at {:#x}: it raises #UD",
        name != nullptr ? name : "?", g.rip);
  }
  emit_raise(kVectorUd, false);
}

}  // namespace emu
