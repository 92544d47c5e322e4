// SPDX-License-Identifier: Apache-2.0
// Ways out of a block: direct exits that can be linked, indirect exits, polls on backward jumps.
#include "base/check.h"
#include "tcg/emit_context.h"

namespace emu {

void EmitContext::emit_poll(u64 target) {
  as_.load(kT2, HostMem::frame(EMU_FRAME(poll_pointer)));
  ColdPart part;
  part.kind = ColdPart::Kind::kPoll;
  part.number = static_cast<u32>(out_->polls.size());
  part.target = target;
  part.guest = current_;
  out_->polls.push_back({as_.offset(), 0});
  as_.load(kT2, HostMem::at(kT2), 1);
  cold_.push_back(part);
}

// The exit that `field`, a rel32 field just emitted, is patched for.
void EmitContext::add_exit(u64 target, u32 field, bool unshared) {
  ColdPart part;
  part.kind = ColdPart::Kind::kExit;
  part.from = field;
  part.number = static_cast<u32>(out_->exits.size());
  part.guest = current_;
  out_->exits.push_back({target, field, 0, unshared});
  cold_.push_back(part);
}

void EmitContext::exit_direct(u64 target) {
  if (target <= current_->rip) emit_poll(target);
  as_.align_field(1, 4);
  add_exit(target, as_.jmp_forward());
}

// Behind `g`, in the mode whose accesses use `set`.
void EmitContext::exit_to_memory_set(const GuestInstruction& g, MemorySet set) {
  TranslationMode there = mode_;
  there.memory_set = static_cast<u32>(set) & 3;
  as_.align_field(1, 4);
  add_exit(next_rip(g), as_.jmp_forward());
  const u32 change = mode_.packed() ^ there.packed();
  EMU_CHECK(change <= 0xff);  // what ExitRecord has room for
  out_->exits.back().mode_change = static_cast<u8>(change);
}

void EmitContext::exit_conditional(u8 condition, u64 target) {
  if (target <= current_->rip) {
    const u32 skip = as_.jcc_forward(condition ^ 1);
    exit_direct(target);
    as_.patch(skip);
    return;
  }
  as_.align_field(2, 4);
  add_exit(target, as_.jcc_forward(condition));
}

// kT0 = target: the jump cache inline, so that every site has its own prediction.
void EmitContext::emit_indirect(bool call) {
  if (stubs_.jump_slot >= kJumpCacheSlots) return as_.jmp_to(stubs_.indirect_exit);
  const i32 slot =
      EMU_FRAME(jump_cache) + static_cast<i32>(stubs_.jump_slot * sizeof(JumpCacheSlot));
  const auto table = [&](std::size_t member) {
    return HostMem::frame_indexed(kT1, 3, slot + static_cast<i32>(member));
  };
  as_.pext(kT1, kT0, HostMem::frame(EMU_FRAME(jump_index_mask)));
  as_.mov(kT2, hRcx);
  as_.load(hRcx, table(offsetof(JumpCacheSlot, negated_rip)));
  as_.lea(hRcx, HostMem::sum(hRcx, kT0));
  const u32 hit = as_.jrcxz_short();
  as_.mov(hRcx, kT2);
  as_.jmp_to(stubs_.indirect_miss);
  as_.patch_short(hit);
  as_.mov(hRcx, kT2);
  as_.branch_memory(call, table(offsetof(JumpCacheSlot, code)));
}

void EmitContext::emit_indirect_exit() {
  emit_indirect(false);
}

bool EmitContext::pairs_returns() const {
  return options_.pair_returns && !mode_.single_step && !options_.one_instruction_blocks;
}

// Where a host `ret` arrives after a call: kT0 is where the guest really returned to.
void EmitContext::emit_return_landing(u64 back) {
  const u64 negated = u64{0} - back;
  as_.mov(kT2, hRcx);
  if (static_cast<i64>(negated) == static_cast<i32>(negated)) {
    out_->movable = false;
    as_.lea(hRcx, HostMem::at(kT0, static_cast<i32>(negated)));
  } else {
    load_rip(kT1, negated, Relocation::Kind::kNegatedRip);
    as_.lea(hRcx, HostMem::sum(kT0, kT1));
  }
  const u32 right = as_.jrcxz_short();
  as_.mov(hRcx, kT2);
  as_.jmp_to(stubs_.indirect_exit);
  as_.patch_short(right);
  as_.mov(hRcx, kT2);
  as_.align_field(1, 4);
  add_exit(back, as_.jmp_forward());
}

void EmitContext::call_direct(u64 target, u64 back) {
  if (!pairs_returns()) return exit_direct(target);
  if (target <= current_->rip) emit_poll(target);
  as_.align_field(1, 4);
  add_exit(target, as_.call_forward());
  emit_return_landing(back);
}

void EmitContext::call_indirect(u64 back) {
  if (!pairs_returns() || stubs_.jump_slot >= kJumpCacheSlots) return emit_indirect_exit();
  emit_indirect(true);
  emit_return_landing(back);
}

// kT0 = target.
void EmitContext::exit_return() {
  if (!pairs_returns()) return emit_indirect_exit();
  as_.byte(0xc3);
}

}  // namespace emu
