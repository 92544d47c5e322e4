// SPDX-License-Identifier: Apache-2.0
// Source: Intel SDM vol. 1 3.7.5 (effective address), vol. 2 (how PUSH, POP, CALL, RET, LEAVE and
// LEA move registers).
#include "tcg/share_plan.h"

#include "cpu/cpu_state.h"
#include "tcg/emit_renamed.h"

namespace emu {
namespace {

constexpr i64 kFarthest = 1 << 30;

const ZydisDecodedOperand* memory_operand(const GuestInstruction& g) {
  for (unsigned i = 0; i < g.info.operand_count; ++i) {
    if (g.operands[i].type == ZYDIS_OPERAND_TYPE_MEMORY) return &g.operands[i];
  }
  return nullptr;
}

// A source or target in memory, besides the stack.
bool reads_memory(const GuestInstruction& g) {
  return g.info.operand_count_visible != 0 && g.operands[0].type == ZYDIS_OPERAND_TYPE_MEMORY;
}

// The number of a register operand of exactly `bits`, or kNoRegister.
u8 whole_register(const ZydisDecodedOperand& op, unsigned bits) {
  if (op.type != ZYDIS_OPERAND_TYPE_REGISTER || op.size != bits) return kNoRegister;
  const u8 number = guest_register(op.reg.value).number;
  return number < 16 ? number : kNoRegister;
}

}  // namespace

SharedUse SharePlan::use(std::size_t instruction, AccessSite site) const {
  if (instruction >= uses_.size()) return {};
  const Use& u = uses_[instruction][static_cast<std::size_t>(site)];
  if (u.group >= groups_.size()) return {};
  const SharedGroup& group = groups_[u.group];
  if (group.uses < 2) return {};
  return {&group, u.first, static_cast<i32>(u.offset - group.low)};
}

void SharePlan::forget_values() {
  for (unsigned r = 0; r < 16; ++r) set_unknown(r);
  first_open_ = groups_.size();
}

void SharePlan::build(const GuestBlock& block) {
  mode_ = block.mode;
  full_bits_ = mode_.code64() ? 64 : 32;
  next_symbol_ = 0;
  groups_.clear();
  keys_.clear();
  uses_.assign(block.instructions.size(), {});
  forget_values();
  for (std::size_t i = 0; i < block.instructions.size(); ++i) {
    const GuestInstruction& g = block.instructions[i];
    switch (g.kind) {
      case InstructionClass::kPlain:
        access_operand(i, g);
        break;
      case InstructionClass::kStack:
        if (g.info.mnemonic == ZYDIS_MNEMONIC_PUSH && reads_memory(g)) access_operand(i, g);
        access_stack(i, g);
        break;
      case InstructionClass::kControl:
        if (reads_memory(g)) access_operand(i, g);
        access_stack(i, g);
        break;
      case InstructionClass::kSpecial:
        if (g.info.mnemonic != ZYDIS_MNEMONIC_LEA) forget_values();
        break;
      case InstructionClass::kSystem:
      case InstructionClass::kInvalid:
        forget_values();
        break;
      case InstructionClass::kString:
      case InstructionClass::kNop:
        break;
    }
    follow(g);
  }
  number_groups();
}

bool SharePlan::segment_fits(u8 segment, bool write, Key& key) const {
  if (mode_.code64()) {
    if (segment == kFs || segment == kGs) key.segment = segment;
    return true;
  }
  if (write && segment == kCs) return false;
  return (mode_.flat_segments & (1u << segment)) != 0;
}

void SharePlan::access_operand(std::size_t at, const GuestInstruction& g) {
  const ZydisDecodedOperand* op = memory_operand(g);
  if (op == nullptr || op->mem.type != ZYDIS_MEMOP_TYPE_MEM) return;
  if (g.info.address_width != full_bits_ || op->size < 8 || op->size > 512) return;
  Key key;
  const bool write = (op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) != 0;
  const ZydisRegister s = op->mem.segment;
  const u8 segment = s < ZYDIS_REGISTER_ES || s > ZYDIS_REGISTER_GS
                         ? u8{kDs}
                         : static_cast<u8>(s - ZYDIS_REGISTER_ES);
  if (!segment_fits(segment, write, key)) return;
  i64 offset = op->mem.disp.has_displacement != 0 ? op->mem.disp.value : 0;
  const GuestRegister base = guest_register(op->mem.base), index = guest_register(op->mem.index);
  const bool relative = op->mem.base == ZYDIS_REGISTER_RIP || op->mem.base == ZYDIS_REGISTER_EIP;
  if (relative || (base.number == kNoRegister && index.number == kNoRegister)) {
    u64 address = static_cast<u64>(offset) + (relative ? g.next_rip() : 0);
    if (full_bits_ == 32) address &= 0xffffffff;
    key.page = address / kPageBytes + 1;
    return add(at, AccessSite::kOperand, key, static_cast<i64>(address % kPageBytes), op->size / 8u,
               write);
  }
  if (base.number != kNoRegister) {
    key.base = registers_[base.number].symbol;
    offset += registers_[base.number].offset;
  }
  if (index.number != kNoRegister) {
    key.index = registers_[index.number].symbol;
    key.scale = op->mem.scale;
    offset += registers_[index.number].offset * op->mem.scale;
  }
  add(at, AccessSite::kOperand, key, offset, op->size / 8u, write);
}

void SharePlan::access_stack(std::size_t at, const GuestInstruction& g) {
  const unsigned bytes = mode_.code64() && g.kind == InstructionClass::kControl
                             ? 8
                             : static_cast<unsigned>(g.info.operand_width / 8u);
  const bool wide =
      static_cast<CodeSize>(mode_.stack_size) == (mode_.code64() ? CodeSize::k64 : CodeSize::k32);
  Key key;
  if (!wide || !segment_fits(kSs, true, key)) return;
  bool write = false;
  Value where = registers_[kRsp];
  switch (g.info.mnemonic) {
    case ZYDIS_MNEMONIC_PUSH:
    case ZYDIS_MNEMONIC_CALL:
      write = true;
      where.offset -= bytes;
      break;
    case ZYDIS_MNEMONIC_POP:
    case ZYDIS_MNEMONIC_RET:
      break;
    case ZYDIS_MNEMONIC_LEAVE:
      where = registers_[kRbp];
      break;
    default:
      return;
  }
  key.base = where.symbol;
  add(at, AccessSite::kStack, key, where.offset, bytes, write);
}

void SharePlan::add(std::size_t at, AccessSite site, const Key& key, i64 offset, unsigned size,
                    bool write) {
  if (offset > kFarthest || offset < -kFarthest || size == 0) return;
  const i64 end = offset + size;
  if (key.page != 0 && end > static_cast<i64>(kPageBytes)) return;
  Use& use = uses_[at][static_cast<std::size_t>(site)];
  for (std::size_t i = groups_.size(); i-- > first_open_;) {
    if (!(keys_[i] == key)) continue;
    SharedGroup& g = groups_[i];
    const i64 low = offset < g.low ? offset : g.low, high = end > g.high ? end : g.high;
    if (high - low > kMaxSpan && (key.page == 0 || key.segment != 0)) continue;
    g.low = low;
    g.high = high;
    g.write |= write;
    ++g.uses;
    use = {static_cast<u16>(i), false, offset};
    return;
  }
  use = {static_cast<u16>(groups_.size()), true, offset};
  groups_.push_back({offset, end, write, 1, 0});
  keys_.push_back(key);
}

void SharePlan::move(unsigned to, unsigned from, i64 distance) {
  registers_[to] = {registers_[from].symbol, registers_[from].offset + distance};
  if (registers_[to].offset > kFarthest || registers_[to].offset < -kFarthest) set_unknown(to);
}

bool SharePlan::follow_exactly(const GuestInstruction& g) {
  const bool wide_stack =
      static_cast<CodeSize>(mode_.stack_size) == (mode_.code64() ? CodeSize::k64 : CodeSize::k32);
  const u8 to = whole_register(g.operands[0], full_bits_);
  const auto by_immediate = [&](i64 sign) {
    if (to == kNoRegister || g.operands[1].type != ZYDIS_OPERAND_TYPE_IMMEDIATE) return false;
    const i64 distance = g.operands[1].imm.value.s;
    if (distance > kFarthest || distance < -kFarthest) return false;
    move(to, to, sign * distance);
    return true;
  };
  switch (g.info.mnemonic) {
    case ZYDIS_MNEMONIC_ADD:
      return by_immediate(1);
    case ZYDIS_MNEMONIC_SUB:
      return by_immediate(-1);
    case ZYDIS_MNEMONIC_INC:
    case ZYDIS_MNEMONIC_DEC:
      if (to == kNoRegister) return false;
      move(to, to, g.info.mnemonic == ZYDIS_MNEMONIC_INC ? 1 : -1);
      return true;
    case ZYDIS_MNEMONIC_MOV: {
      const u8 from = whole_register(g.operands[1], full_bits_);
      if (to == kNoRegister || from == kNoRegister) return false;
      move(to, from, 0);
      return true;
    }
    case ZYDIS_MNEMONIC_LEA: {
      const auto& m = g.operands[1].mem;
      const u8 from = guest_register(m.base).number;
      if (to == kNoRegister || from >= 16 || m.index != ZYDIS_REGISTER_NONE) return false;
      if (g.info.address_width != full_bits_) return false;
      move(to, from, m.disp.has_displacement != 0 ? m.disp.value : 0);
      return true;
    }
    case ZYDIS_MNEMONIC_PUSH:
      if (!wide_stack) return false;
      move(kRsp, kRsp, -static_cast<i64>(g.info.operand_width / 8u));
      return true;
    case ZYDIS_MNEMONIC_POP:
      if (!wide_stack) return false;
      move(kRsp, kRsp, static_cast<i64>(g.info.operand_width / 8u));
      if (g.operands[0].type != ZYDIS_OPERAND_TYPE_REGISTER) return true;
      if (const u8 n = guest_register(g.operands[0].reg.value).number; n < 16) set_unknown(n);
      return true;
    case ZYDIS_MNEMONIC_LEAVE:
      if (!wide_stack) return false;
      move(kRsp, kRbp, static_cast<i64>(g.info.operand_width / 8u));
      set_unknown(kRbp);
      return true;
    default:
      return false;
  }
}

void SharePlan::follow(const GuestInstruction& g) {
  if (g.kind == InstructionClass::kNop || follow_exactly(g)) return;
  if (g.kind == InstructionClass::kString) {
    for (unsigned r : {kRax, kRcx, kRsi, kRdi}) set_unknown(r);
  }
  for (unsigned i = 0; i < g.info.operand_count; ++i) {
    const ZydisDecodedOperand& op = g.operands[i];
    if (op.type != ZYDIS_OPERAND_TYPE_REGISTER ||
        (op.actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) == 0) {
      continue;
    }
    if (const u8 n = guest_register(op.reg.value).number; n < 16) set_unknown(n);
  }
}

// Slots go to the first groups that are worth one; the others are not shared.
void SharePlan::number_groups() {
  unsigned next = 0;
  for (SharedGroup& g : groups_) {
    if (g.uses < 2) continue;
    if (next == kMaxGroups) {
      g.uses = 0;
    } else {
      g.slot = static_cast<u8>(next++);
    }
  }
}

}  // namespace emu
