// SPDX-License-Identifier: Apache-2.0
#include "tcg/block_emitter.h"

#include "tcg/emit_context.h"

namespace emu {

namespace {

// Programs are mapped wherever chance will have it; systems stay where they are.
bool is_movable(TranslationMode mode) {
  return mode.code64() && mode.cpl == 3 && mode.single_step == 0;
}

// Plain and stack instructions say themselves when they overwrite kT1.
bool uses_scratch_freely(const GuestInstruction& g) {
  return g.kind != InstructionClass::kPlain && g.kind != InstructionClass::kStack &&
         g.kind != InstructionClass::kNop && g.info.mnemonic != ZYDIS_MNEMONIC_LEA;
}

}  // namespace

void EmitContext::add_map_entry(const GuestInstruction& g) {
  const u32 offset = as_.offset();
  const u16 guest = static_cast<u16>(g.rip - block_->rip);
  if (!out_->map.empty() && out_->map.back().host_offset == offset) out_->map.pop_back();
  out_->map.push_back({offset, guest, g.length, 0});
}

// MOV of a 4- or 8-byte immediate into a register of that size.
ImmediatePlace live_immediate_place(const GuestInstruction& g) {
  if (g.kind != InstructionClass::kPlain || g.info.mnemonic != ZYDIS_MNEMONIC_MOV) return {};
  const ZydisDecodedOperand& to = g.operands[0];
  const auto& immediate = g.info.raw.imm[0];
  const bool whole = immediate.size == to.size && (to.size == 32 || to.size == 64);
  if (to.type != ZYDIS_OPERAND_TYPE_REGISTER || immediate.offset == 0 || !whole ||
      g.operands[1].type != ZYDIS_OPERAND_TYPE_IMMEDIATE) {
    return {};
  }
  return {immediate.offset, static_cast<u8>(immediate.size / 8)};
}

void EmitContext::emit_live_immediate(const GuestInstruction& g) {
  const unsigned size = live_immediate_place(g).length_bytes;
  // SAFETY: an address used as a number; guest RAM outlives the code.
  out_->movable = false;
  as_.mov_imm(kT0, __builtin_bit_cast(u64, g.live_immediate));
  as_.load(kT0, HostMem::at(kT0), size);
  write_register(guest_register(g.operands[0].reg.value).number, kT0, size);
}

void EmitContext::emit_instruction(const GuestInstruction& g) {
  if (g.live_immediate != nullptr) return emit_live_immediate(g);
  switch (g.kind) {
    case InstructionClass::kPlain:
      return emit_plain(g);
    case InstructionClass::kStack:
      return emit_stack(g);
    case InstructionClass::kString:
      return emit_string(g);
    case InstructionClass::kControl:
      return emit_control(g);
    case InstructionClass::kSpecial:
      return emit_special(g);
    case InstructionClass::kSystem:
      return emit_system(g);
    case InstructionClass::kNop:
      return;
    case InstructionClass::kInvalid:
      return emit_raise(g.vector, g.vector == 13);
  }
}

void EmitContext::emit_cold_parts() {
  for (std::size_t i = 0; i < cold_.size(); ++i) {
    const ColdPart part = cold_[i];  // a part may add others
    add_map_entry(*part.guest);
    switch (part.kind) {
      case ColdPart::Kind::kAccess:
        emit_cold_access(part);
        break;
      case ColdPart::Kind::kMasked:
        emit_cold_masked(part);
        break;
      case ColdPart::Kind::kShared:
        emit_cold_shared(part);
        break;
      case ColdPart::Kind::kSegment:
        emit_cold_segment(part);
        break;
      case ColdPart::Kind::kExit:
        as_.patch(part.from);
        out_->exits[part.number].cold_offset = as_.offset();
        as_.mov_imm(kT1, first_exit_id_ + part.number);
        as_.relocate_field32(Relocation::Kind::kExitId);
        as_.jmp_to(stubs_.link_exit);
        break;
      case ColdPart::Kind::kPoll:
        out_->polls[part.number].cold_offset = as_.offset();
        load_rip(kT0, part.target);
        as_.jmp_to(stubs_.loop_exit);
        break;
    }
  }
}

void EmitContext::emit_block(const GuestBlock& block, const u8* host_address, u32 first_exit_id,
                             EmittedBlock& out) {
  out.clear();
  cold_.clear();
  out_ = &out;
  block_ = &block;
  mode_ = block.mode;
  first_exit_id_ = first_exit_id;
  flags_ = FlagPlace::kHost;
  recipe_ = {};
  in_t1_ = nullptr;
  open_access_ = kNoAccess;
  const bool shares = options_.share_checks && mode_.unshared == 0 && mode_.always_slow == 0 &&
                      mode_.single_step == 0 && block.instructions.size() > 1;
  if (shares) {
    plan_.build(block);
  } else {
    plan_.clear();
  }
  // SAFETY: an address used as a number.
  as_.reset(out.code, __builtin_bit_cast(u64, host_address),
            is_movable(mode_) ? &out.relocations : nullptr);
  out.movable = is_movable(mode_);
  for (const GuestInstruction& g : block.instructions) {
    current_ = &g;
    add_map_entry(g);
    prepare_flags(g);
    emit_instruction(g);
    if (uses_scratch_freely(g)) in_t1_ = nullptr;
    finish_flags(g);
  }
  if (current_ != nullptr && !current_->ends_block) {
    settle_flags_at_exit(*current_);
    exit_direct(block.next_rip);
  }
  emit_cold_parts();
  as_.finish();
}

class BlockEmitter::Impl {
 public:
  Impl(const StubTable& stubs, const TcgOptions& options)
      : options_(options), context_(stubs, options_) {}
  EmitContext& context() { return context_; }

 private:
  TcgOptions options_;
  EmitContext context_;
};

BlockEmitter::BlockEmitter(const StubTable& stubs, const TcgOptions& options)
    : impl_(std::make_unique<Impl>(stubs, options)) {}

BlockEmitter::~BlockEmitter() = default;

void BlockEmitter::emit(const GuestBlock& block, const u8* host_address, u32 first_exit_id,
                        EmittedBlock& out) {
  impl_->context().emit_block(block, host_address, first_exit_id, out);
}

}  // namespace emu
