// SPDX-License-Identifier: Apache-2.0
// Accesses that share a TLB check (see share_plan.h). The first one of a group checks the whole
// range, for writing if any access of the group writes, and keeps the host address of its low end
// in the frame; the others use that. A block that can do so stays exact by giving up as a whole: if
// the range crosses a page, or is not plain memory with the rights wanted, the block is left in
// front of the instruction for its unshared translation, where every access is made on its own.
// What a checked range means cannot change before the block ends: mappings and rights change only
// by system instructions, which end all groups, or between blocks.
#include "tcg/emit_context.h"

namespace emu {
namespace {

i32 slot_of(const SharedGroup& group) {
  return EMU_FRAME(shared_host) + 8 * group.slot;
}

unsigned span_of(const SharedGroup& group) {
  return static_cast<unsigned>(group.high - group.low);
}

}  // namespace

SharedUse EmitContext::shared_use(const GuestInstruction& g, AccessSite site) const {
  return plan_.use(static_cast<std::size_t>(&g - block_->instructions.data()), site);
}

HostMem EmitContext::open_operand(const GuestInstruction& g, const ZydisDecodedOperand& op,
                                  const Access& access) {
  const SharedUse use = shared_use(g, AccessSite::kOperand);
  if (use.group == nullptr) {
    load_offset(g, op);
    // Pointers to structures. Indexed accesses wander; the stack's addresses are known early.
    const u8 base = guest_register(op.mem.base).number;
    Access described = access;
    described.predict = base != kNoRegister && base != kRsp && op.mem.index == ZYDIS_REGISTER_NONE;
    begin_access(g, described);
    return host_operand();
  }
  if (use.first) {
    load_offset(g, op, -i64{use.offset});
    check_group(g, use, access);
  }
  return shared_operand(use);
}

HostMem EmitContext::open_stack(const GuestInstruction& g, i64 displacement, const Access& access) {
  const SharedUse use = shared_use(g, AccessSite::kStack);
  if (use.group == nullptr) {
    load_stack_address(g, displacement);
    begin_access(g, access);
    return host_operand();
  }
  if (use.first) {
    load_stack_address(g, displacement - use.offset);
    check_group(g, use, access);
  }
  return shared_operand(use);
}

void EmitContext::load_stack_address(const GuestInstruction& g, i64 displacement) {
  if (g.info.mnemonic != ZYDIS_MNEMONIC_LEAVE) return load_stack_offset(displacement);
  if (displacement == 0) return load_pointer(kRbp, stack_bytes());
  as_.lea(kT0, HostMem::at(hRbp, static_cast<i32>(displacement)), stack_bytes());
}

HostMem EmitContext::shared_operand(const SharedUse& use) {
  if (settle_in_access_) settle_flags();
  if (in_t1_ != use.group) as_.load(kT1, HostMem::frame(slot_of(*use.group)));
  in_t1_ = use.group;
  return HostMem::at(kT1, use.offset);
}

// kT0 = offset of the group's low end in its segment, which is flat or FS or GS.
void EmitContext::check_group(const GuestInstruction& g, const SharedUse& use,
                              const Access& access) {
  free_flags(g);
  add_segment_base(access.segment);
  AccessInfo info;
  info.size = access.size & 0xff;
  info.read = access.read;
  info.write = access.write;
  info.memory_set = mode_.memory_set;
  info.stack_segment = access.segment == kSs;
  info.probe = 1;
  ColdPart part;
  part.kind = ColdPart::Kind::kShared;
  part.number = info.packed();
  part.guest = &g;
  part.flags = flags_;
  part.recipe = recipe_;
  part.shared = use;
  const SharedGroup& group = *use.group;
  part.from = emit_lookup(span_of(group), group.write);
  part.hit = as_.offset();
  cold_.push_back(part);
  load_delta();
  as_.lea(kT1, HostMem::sum(kT0, kT1));
  as_.store(HostMem::frame(slot_of(*use.group)), kT1);
  in_t1_ = use.group;
}

// Another try if a TLB entry was all that missed; else on to the unshared translation.
void EmitContext::emit_cold_shared(const ColdPart& part) {
  const SharedGroup& group = *part.shared.group;
  as_.patch(part.from);
  as_.alu(6, kT2, kT0);  // less than a page, if both ends are on one
  as_.alu_imm(4, kT2, -4096);
  const u32 crosses = as_.jcc_forward(kCcNz);
  make_flags(part.flags, part.recipe);
  if (part.shared.offset != 0) as_.lea(kT0, HostMem::at(kT0, part.shared.offset));
  as_.mov_imm(kT1, part.number);
  as_.call_to(stubs_.slow_access);
  if (part.shared.offset != 0) as_.lea(kT0, HostMem::at(kT0, -part.shared.offset));
  const u32 fails = emit_lookup(span_of(group), group.write);
  as_.jmp_back(part.hit);
  as_.patch(crosses);
  as_.patch(fails);
  make_flags(part.flags, part.recipe);
  as_.align_field(1, 4);
  current_ = part.guest;
  add_exit(part.guest->rip, as_.jmp_forward(), true);
}

}  // namespace emu
