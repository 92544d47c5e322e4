// SPDX-License-Identifier: Apache-2.0
// Live status flags across inline checks. A check changes host flags; where somebody may still read
// the guest's, they are made again later: from the registers of the instruction that set them, if
// those have not changed (no cost before the check), else from a copy in the frame. Nothing is done
// until they are needed: by an instruction that reads or merges them or that may fault on the host,
// at the end of the block, or in the cold code of a check.
// Source: Intel SDM vol. 1 3.4.3.1 and appendix A (flags by instruction).
#include "tcg/emit_context.h"

namespace emu {
namespace {

using Kind = FlagRecipe::Kind;

bool touches_flags(const GuestInstruction& g) {
  if (g.info.cpu_flags == nullptr) return false;
  const ZydisAccessedFlags& f = *g.info.cpu_flags;
  return ((f.tested | f.modified | f.set_0 | f.set_1 | f.undefined) & kFlagsArithmetic) != 0;
}

// Whether every live flag comes from `g`.
bool replaces_flags(const GuestInstruction& g) {
  return g.flags_written != 0 && (g.flags_live & ~g.flags_written) == 0;
}

u16 registers_written(const GuestInstruction& g) {
  unsigned mask = 0;
  for (unsigned i = 0; i < g.info.operand_count; ++i) {
    const ZydisDecodedOperand& op = g.operands[i];
    if (op.type != ZYDIS_OPERAND_TYPE_REGISTER ||
        (op.actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) == 0) {
      continue;
    }
    const u8 number = guest_register(op.reg.value).number;
    if (number < 16) mask |= 1u << number;
  }
  return static_cast<u16>(mask);
}

// PUSH and POP move the stack pointer by a known distance, which recipes keep up with.
bool is_push_or_pop(const GuestInstruction& g) {
  return g.info.mnemonic == ZYDIS_MNEMONIC_PUSH || g.info.mnemonic == ZYDIS_MNEMONIC_POP;
}

// Division errors, and faults of the FPU and vector units: the handler sees the flags.
bool may_fault_on_host(const GuestInstruction& g) {
  switch (g.info.mnemonic) {
    case ZYDIS_MNEMONIC_DIV:
    case ZYDIS_MNEMONIC_IDIV:
    case ZYDIS_MNEMONIC_CMPXCHG16B:
      return true;
    default:
      return g.info.meta.isa_ext != ZYDIS_ISA_EXT_BASE &&
             g.info.meta.isa_ext != ZYDIS_ISA_EXT_LONGMODE;
  }
}

// A general register that lives in a host register; kNoRegister otherwise (also for high bytes).
u8 direct_register(const ZydisDecodedOperand& op) {
  if (op.type != ZYDIS_OPERAND_TYPE_REGISTER) return kNoRegister;
  const GuestRegister r = guest_register(op.reg.value);
  if (r.number == kNoRegister || r.high_byte || kHostRegister[r.number] == kInFrame) {
    return kNoRegister;
  }
  return r.number;
}

bool is_immediate(const ZydisDecodedOperand& op) {
  return op.type == ZYDIS_OPERAND_TYPE_IMMEDIATE;
}

FlagRecipe repeat_recipe(const GuestInstruction& g) {
  FlagRecipe r;
  for (unsigned i = 0; i < 2; ++i) {
    if (is_immediate(g.operands[i])) continue;
    const u8 number = direct_register(g.operands[i]);
    if (number == kNoRegister) return {};
    r.uses = static_cast<u16>(r.uses | 1u << number);
  }
  r.kind = Kind::kRepeat;
  r.guest = &g;
  return r;
}

// So that it can be added to a bias.
constexpr i32 kLargestImmediate = 1 << 30;

FlagRecipe result_recipe(const GuestInstruction& g, Kind kind) {
  FlagRecipe r;
  const u8 result = direct_register(g.operands[0]);
  if (result == kNoRegister) return {};
  r.kind = kind;
  r.reg = kHostRegister[result];
  r.size = static_cast<u8>(g.operands[0].size / 8);
  r.uses = static_cast<u16>(1u << result);
  if (kind == Kind::kTest) return r;
  if (r.size < 4) return {};
  if (is_immediate(g.operands[1])) {
    r.imm = static_cast<i32>(g.operands[1].imm.value.s);
    if (r.imm > kLargestImmediate || r.imm < -kLargestImmediate) return {};
    return r;
  }
  const u8 other = direct_register(g.operands[1]);
  if (other == kNoRegister || other == result) return {};
  r.other = kHostRegister[other];
  r.uses = static_cast<u16>(r.uses | 1u << other);
  return r;
}

FlagRecipe recipe_of(const GuestInstruction& g) {
  switch (g.info.mnemonic) {
    case ZYDIS_MNEMONIC_CMP:
    case ZYDIS_MNEMONIC_TEST:
      return repeat_recipe(g);
    case ZYDIS_MNEMONIC_AND:
    case ZYDIS_MNEMONIC_OR:
    case ZYDIS_MNEMONIC_XOR:
      return result_recipe(g, Kind::kTest);
    case ZYDIS_MNEMONIC_ADD:
      return result_recipe(g, Kind::kAdd);
    case ZYDIS_MNEMONIC_SUB:
      return result_recipe(g, Kind::kSub);
    default:
      return {};
  }
}

}  // namespace

bool EmitContext::must_settle(const GuestInstruction& g) const {
  switch (g.kind) {
    case InstructionClass::kNop:
      return false;
    case InstructionClass::kStack:
      if (!is_push_or_pop(g)) return true;
      break;
    case InstructionClass::kPlain:
      if (g.flags_read != 0 || may_fault_on_host(g)) return true;
      if (touches_flags(g) && !replaces_flags(g)) return true;
      break;
    default:
      return true;
  }
  if (recipe_.kind == Kind::kNone || flags_ == FlagPlace::kFrame) return false;
  u16 written = registers_written(g);
  const bool follows_stack = recipe_.kind == Kind::kAdd || recipe_.kind == Kind::kSub;
  if (is_push_or_pop(g) && follows_stack && stack_bytes() == 8 && recipe_.size == 8 &&
      recipe_.other == kNoRegister &&
      !(g.info.mnemonic == ZYDIS_MNEMONIC_POP && direct_register(g.operands[0]) == kRsp)) {
    written = static_cast<u16>(written & ~(1u << kRsp));
  }
  return (written & recipe_.uses) != 0;
}

// Before an instruction. Where one with a memory operand needs its flags, they are put back between
// the check and the operation.
void EmitContext::prepare_flags(const GuestInstruction& g) {
  settle_in_access_ = false;
  if (!flags_needed(g)) {
    flags_ = FlagPlace::kHost;
    recipe_ = {};
    return;
  }
  if (g.kind == InstructionClass::kControl) {
    switch (g.info.mnemonic) {
      case ZYDIS_MNEMONIC_CALL:
      case ZYDIS_MNEMONIC_RET:
      case ZYDIS_MNEMONIC_JMP:
        return;  // settle_flags_at_exit()
      default:
        return settle_flags();
    }
  }
  if (!must_settle(g)) return;
  settle_in_access_ = true;
  const bool checks = (g.kind == InstructionClass::kPlain && memory_operand(g) != nullptr) ||
                      g.kind == InstructionClass::kStack;
  if (!checks) settle_flags();
}

void EmitContext::finish_flags(const GuestInstruction& g) {
  if (g.kind == InstructionClass::kNop) return;
  if (g.kind == InstructionClass::kPlain && touches_flags(g)) {
    flags_ = FlagPlace::kHost;
    recipe_ = replaces_flags(g) && g.flags_live != 0 ? recipe_of(g) : FlagRecipe{};
    return;
  }
  if (g.kind != InstructionClass::kPlain && g.kind != InstructionClass::kStack) {
    recipe_ = {};
    return;
  }
  if (recipe_.kind == Kind::kNone) return;
  u16 written = registers_written(g);
  if (!settle_in_access_ && is_push_or_pop(g)) written = static_cast<u16>(written & ~(1u << kRsp));
  if ((written & recipe_.uses) != 0) recipe_ = {};
}

void EmitContext::free_flags(const GuestInstruction& g) {
  if (!flags_needed(g) || flags_ != FlagPlace::kHost) return;
  if (recipe_.kind != Kind::kNone) {
    flags_ = FlagPlace::kRecipe;
    return;
  }
  save_flags();
  flags_ = FlagPlace::kFrame;
}

void EmitContext::settle_flags() {
  make_flags(flags_, recipe_);
  flags_ = FlagPlace::kHost;
}

void EmitContext::settle_flags_at_exit(const GuestInstruction& g) {
  if (g.flags_live != 0 || !options_.dead_flags) settle_flags();
  flags_ = FlagPlace::kHost;
}

void EmitContext::make_flags(FlagPlace place, const FlagRecipe& r) {
  if (place == FlagPlace::kHost) return;
  if (place == FlagPlace::kFrame) return restore_flags();
  const i64 imm = r.imm;
  switch (r.kind) {
    case Kind::kNone:
      return;
    case Kind::kRepeat:
      return emit_with_memory(*r.guest, HostMem{}, true);
    case Kind::kTest:
      return as_.test(r.reg, r.reg, r.size);
    case Kind::kAdd:
      if (r.other != kNoRegister) {
        as_.lea(kT2, HostMem::at(r.reg, r.bias), r.size);
        as_.alu(5, kT2, r.other, r.size);
        return as_.alu(0, kT2, r.other, r.size);
      }
      as_.lea(kT2, HostMem::at(r.reg, static_cast<i32>(r.bias - imm)), r.size);
      return as_.alu_imm(0, kT2, r.imm, r.size);
    case Kind::kSub:
      if (r.other != kNoRegister) {
        as_.lea(kT2, {r.reg, r.other, 0, false, r.bias}, r.size);
        return as_.alu(7, kT2, r.other, r.size);
      }
      as_.lea(kT2, HostMem::at(r.reg, static_cast<i32>(r.bias + imm)), r.size);
      return as_.alu_imm(7, kT2, r.imm, r.size);
  }
}

}  // namespace emu
