// SPDX-License-Identifier: Apache-2.0
// Ways out of a block: direct exits that can be linked, indirect exits, polls on backward jumps.
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
void EmitContext::add_exit(u64 target, u32 field) {
  ColdPart part;
  part.kind = ColdPart::Kind::kExit;
  part.from = field;
  part.number = static_cast<u32>(out_->exits.size());
  part.guest = current_;
  out_->exits.push_back({target, field, 0});
  cold_.push_back(part);
}

void EmitContext::exit_direct(u64 target) {
  if (target <= current_->rip) emit_poll(target);
  as_.align_field(1, 4);
  add_exit(target, as_.jmp_forward());
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

void EmitContext::emit_indirect_exit() {
  as_.jmp_to(stubs_.indirect_exit);
}

}  // namespace emu
