// SPDX-License-Identifier: Apache-2.0
// The generic path: rename operands, translate the memory operand, re-emit.
#include "base/check.h"
#include "tcg/emit_context.h"

namespace emu {
namespace {

// A general register operand that needs a scratch register: it lives in the frame, or it is a high
// byte next to something that wants a REX prefix.
struct Substitute {
  GuestRegister guest;
  u8 scratch = kNoRegister;
  bool load = false;
  bool store = false;
};

constexpr unsigned kMaxSubstitutes = 3;

// Which field of the encoding holds the operand.
u8* field_of(Renaming& names, const ZydisDecodedOperand& op) {
  switch (op.encoding) {
    case ZYDIS_OPERAND_ENCODING_MODRM_REG:
      return &names.reg;
    case ZYDIS_OPERAND_ENCODING_MODRM_RM:
      return &names.rm;
    case ZYDIS_OPERAND_ENCODING_NDSNDD:
      return &names.vvvv;
    case ZYDIS_OPERAND_ENCODING_OPCODE:
      return &names.opcode;
    default:
      return nullptr;
  }
}

// These overwrite all of a 32- or 64-bit destination whatever happens.
bool never_reads_destination(const GuestInstruction& g) {
  switch (g.info.mnemonic) {
    case ZYDIS_MNEMONIC_MOV:
    case ZYDIS_MNEMONIC_MOVZX:
    case ZYDIS_MNEMONIC_MOVSX:
    case ZYDIS_MNEMONIC_MOVSXD:
      return g.operands[0].size >= 32;
    default:
      return false;
  }
}

class Operands {
 public:
  explicit Operands(const GuestInstruction& g, bool memory) : g_(g), wants_rex_(memory) {
    for (unsigned i = 0; i < g.info.operand_count_visible; ++i) {
      const GuestRegister r = general(g.operands[i]);
      if (r.number != kNoRegister && !r.high_byte && kHostRegister[r.number] >= 8) {
        wants_rex_ = true;
      }
    }
    for (unsigned i = 0; i < g.info.operand_count_visible; ++i) add(g.operands[i]);
  }

  [[nodiscard]] unsigned count() const { return count_; }
  [[nodiscard]] Substitute& at(unsigned i) { return list_[i]; }
  [[nodiscard]] Renaming names() const {
    Renaming names;
    for (unsigned i = 0; i < g_.info.operand_count_visible; ++i) {
      const ZydisDecodedOperand& op = g_.operands[i];
      const GuestRegister r = general(op);
      if (r.number == kNoRegister) continue;
      u8* field = field_of(names, op);
      if (field == nullptr) continue;
      const Substitute* s = find(r);
      *field = s != nullptr  ? s->scratch
               : r.high_byte ? static_cast<u8>(kHighByte + r.number)
                             : kHostRegister[r.number];
      // Only a byte operand asks for REX: MOVZX ESI, AH must not get one.
      if (op.size == 8 && *field >= 4 && *field < 8) names.byte_needs_rex = true;
    }
    return names;
  }

 private:
  static GuestRegister general(const ZydisDecodedOperand& op) {
    return op.type == ZYDIS_OPERAND_TYPE_REGISTER ? guest_register(op.reg.value) : GuestRegister{};
  }

  [[nodiscard]] const Substitute* find(const GuestRegister& r) const {
    for (unsigned i = 0; i < count_; ++i) {
      if (list_[i].guest.number == r.number && list_[i].guest.high_byte == r.high_byte) {
        return &list_[i];
      }
    }
    return nullptr;
  }

  void add(const ZydisDecodedOperand& op) {
    const GuestRegister r = general(op);
    Renaming dummy;
    if (r.number == kNoRegister || field_of(dummy, op) == nullptr) return;
    if (r.high_byte ? !wants_rex_ : kHostRegister[r.number] != kInFrame) return;
    const bool writes = (op.actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) != 0;
    const bool reads = !(op.actions == ZYDIS_OPERAND_ACTION_WRITE && never_reads_destination(g_));
    Substitute* s = const_cast<Substitute*>(find(r));
    if (s == nullptr) {
      EMU_CHECK(count_ < kMaxSubstitutes);
      s = &list_[count_++];
      s->guest = r;
    }
    s->load |= reads;
    s->store |= writes;
  }

  const GuestInstruction& g_;
  bool wants_rex_;
  Substitute list_[kMaxSubstitutes];
  unsigned count_ = 0;
};

// Whether the guest's bytes do the same as host code: no memory, and no register that has another
// number there. (Implicit registers always have their own.)
bool is_verbatim(const GuestInstruction& g) {
  if (g.info.machine_mode != ZYDIS_MACHINE_MODE_LONG_64) return false;
  for (unsigned i = 0; i < g.info.operand_count_visible; ++i) {
    const ZydisDecodedOperand& op = g.operands[i];
    if (op.type == ZYDIS_OPERAND_TYPE_IMMEDIATE) continue;
    if (op.type != ZYDIS_OPERAND_TYPE_REGISTER) return false;
    const GuestRegister r = guest_register(op.reg.value);
    if (r.number == kNoRegister || kHostRegister[r.number] != r.number) return false;
  }
  return true;
}

}  // namespace

// `memory` replaces the memory operand if there is one, and kT2 is free; without a memory operand
// all three are.
void EmitContext::emit_with_memory(const GuestInstruction& g, const HostMem& memory, bool t1_free) {
  const bool has_memory = memory.base != kNoRegister || memory.gs;
  Operands operands(g, has_memory);
  HostMem operand = memory;
  u8 free[kMaxSubstitutes] = {kT2, kT1, kT0};
  const bool evex_displacement =
      memory.disp != 0 && g.info.encoding == ZYDIS_INSTRUCTION_ENCODING_EVEX;
  if (has_memory && !t1_free && (operands.count() > 1 || evex_displacement)) {
    as_.lea(kT0, memory);
    operand = HostMem::at(kT0);
  }
  if (operands.count() > 1) in_t1_ = nullptr;
  for (unsigned i = 0; i < operands.count(); ++i) {
    Substitute& s = operands.at(i);
    s.scratch = free[i];
    if (!s.load) continue;
    if (s.guest.high_byte) {
      as_.rorx(s.scratch, s.guest.number, 8, 4);
    } else {
      as_.load(s.scratch, HostMem::frame(EMU_FRAME(cpu.gpr) + 8 * s.guest.number));
    }
  }
  Renaming names = operands.names();
  names.memory = operand;
  emit_renamed(as_, g, names);
  for (unsigned i = 0; i < operands.count(); ++i) {
    const Substitute& s = operands.at(i);
    if (!s.store) continue;
    if (s.guest.high_byte) {
      as_.swap_low_bytes(s.guest.number);
      as_.mov(s.guest.number, s.scratch, 1);
      as_.swap_low_bytes(s.guest.number);
    } else {
      as_.store(HostMem::frame(EMU_FRAME(cpu.gpr) + 8 * s.guest.number), s.scratch);
    }
  }
}

void EmitContext::emit_plain(const GuestInstruction& g) {
  if (is_verbatim(g)) return as_.bytes(g.bytes, g.length);
  const ZydisDecodedOperand* op = memory_operand(g);
  if (op == nullptr) return emit_with_memory(g, HostMem{}, true);
  const unsigned size = op->size / 8u;
  if (size < 1 || size > 64 || op->mem.type != ZYDIS_MEMOP_TYPE_MEM) return raise_unsupported(g);
  Access access;
  access.size = size;
  access.read = (op->actions & ZYDIS_OPERAND_ACTION_MASK_READ) != 0;
  access.write = (op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) != 0;
  access.segment = segment_of(*op);
  const HostMem memory = open_operand(g, *op, access);
  emit_with_memory(g, memory, false);
  end_access();
}

}  // namespace emu
