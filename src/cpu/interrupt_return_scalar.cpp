// SPDX-License-Identifier: Apache-2.0
// IRET in all modes. Source: Intel SDM vol. 2 IRET; vol. 3 6.12.1, 20.2.4, 20.3.
#include "base/bits.h"
#include "cpu/far_transfer.h"
#include "cpu/outer_return.h"
#include "cpu/stack_frame.h"
#include "cpu/task_switch.h"

namespace emu {
namespace {

constexpr u64 kAlwaysPopped =
    kFlagsArithmetic | kFlagTf | kFlagDf | kFlagNt | kFlagRf | kFlagAc | kFlagId;

// The three words every IRET pops.
struct ReturnFrame {
  u64 rip = 0;
  u64 selector = 0;
  u64 flags = 0;
};

Fault pop_frame(StackFrame& frame, unsigned bytes, ReturnFrame& out) {
  if (Fault f = frame.pop(bytes, out.rip)) return f;
  if (Fault f = frame.pop(bytes, out.selector)) return f;
  return frame.pop(bytes, out.flags);
}

unsigned iopl(const CpuState& state) {
  return static_cast<unsigned>(bits(state.rflags, 12, 2));
}

void load_flags(CpuCore& core, u64 mask, unsigned bytes, u64 value) {
  CpuState& state = core.state;
  if (bytes == 2) mask &= 0xffff;
  state.rflags = (state.rflags & ~(mask | kFlagRf)) | (value & mask) | kFlagFixed1;
  state.nmi_blocked = false;
  state.interrupt_shadow = false;
  core.effects |= kEffectInterrupts;
}

// Real mode and virtual-8086 mode: no descriptors.
Fault return_unprotected(CpuCore& core, unsigned bytes, StackFrame& frame,
                         const ReturnFrame& popped, u64 mask) {
  CpuState& state = core.state;
  const u16 selector = static_cast<u16>(popped.selector);
  Segment cs = vm86_segment(selector);
  if (!state.vm86()) {
    cs = state.segments[kCs];
    cs.selector = selector;
    cs.base = u64{selector} << 4;
  }
  if (popped.rip > cs.limit) return Fault::gp();
  state.gpr[kRsp] = frame.rsp(state.gpr[kRsp]);
  state.segments[kCs] = cs;
  state.rip = popped.rip;
  load_flags(core, mask, bytes, popped.flags);
  return Fault::none();
}

Fault return_real(CpuCore& core, unsigned bytes) {
  StackFrame frame = StackFrame::current(core);
  ReturnFrame popped;
  if (Fault f = pop_frame(frame, bytes, popped)) return f;
  return return_unprotected(core, bytes, frame, popped, kAlwaysPopped | kFlagIf | kFlagIopl);
}

// IOPL 3: IF as in real mode. Below: only under CR4.VME with 16-bit operands, IF goes to VIF.
Fault return_vm86(CpuCore& core, unsigned bytes) {
  const CpuState& state = core.state;
  const bool restricted = iopl(state) < 3;
  if (restricted && ((state.cr4 & kCr4Vme) == 0 || bytes != 2)) return Fault::gp();
  StackFrame frame = StackFrame::current(core);
  ReturnFrame popped;
  if (Fault f = pop_frame(frame, bytes, popped)) return f;
  if (!restricted) return return_unprotected(core, bytes, frame, popped, kAlwaysPopped | kFlagIf);
  const bool enable = (popped.flags & kFlagIf) != 0;
  if ((popped.flags & kFlagTf) != 0 || (enable && (state.rflags & kFlagVip) != 0)) {
    return Fault::gp();
  }
  if (Fault f = return_unprotected(core, bytes, frame, popped, kAlwaysPopped)) return f;
  core.state.rflags = (core.state.rflags & ~kFlagVif) | (enable ? kFlagVif : 0);
  return Fault::none();
}

// CPL 0 to virtual-8086 mode (SDM vol. 3 20.2.4).
Fault return_to_vm86(CpuCore& core, StackFrame& frame, const ReturnFrame& popped) {
  CpuState& state = core.state;
  constexpr SegmentIndex kOrder[5] = {kSs, kEs, kDs, kFs, kGs};
  u64 esp = 0;
  u64 selectors[5];
  if (Fault f = frame.pop(4, esp)) return f;
  for (u64& selector : selectors) {
    if (Fault f = frame.pop(4, selector)) return f;
  }
  if (popped.rip > 0xffff) return Fault::gp();
  constexpr u64 kMask = kAlwaysPopped | kFlagIf | kFlagIopl | kFlagVm | kFlagVif | kFlagVip;
  load_flags(core, kMask, 4, popped.flags);
  state.segments[kCs] = vm86_segment(static_cast<u16>(popped.selector));
  for (unsigned i = 0; i < 5; ++i) {
    state.segments[kOrder[i]] = vm86_segment(static_cast<u16>(selectors[i]));
  }
  state.rip = popped.rip;
  state.gpr[kRsp] = esp;
  return Fault::none();
}

Fault return_from_task(CpuCore& core, u64 next_rip) {
  const CpuState& state = core.state;
  if (!state.tr.usable() || state.tr.limit < 1) {
    return Fault::with_code(kVectorTs, state.tr.selector & 0xfffcu);
  }
  u64 link = 0;
  const LinearAddr tss{state.tr.base};
  if (Fault f = core.memory.read(tss, 2, link, Privilege::kSupervisor)) return f;
  TaskSwitch request;
  request.selector = static_cast<u16>(link);
  request.cause = TaskSwitchCause::kIret;
  request.next_rip = next_rip;
  const Fault fault = switch_task(core, request);
  // The T flag's #DB comes after a switch that succeeded.
  if (!fault || fault.vector == kVectorDb) core.state.nmi_blocked = false;
  return fault;
}

u64 protected_mask(const CpuState& state) {
  u64 mask = kAlwaysPopped;
  if (state.cpl() <= iopl(state)) mask |= kFlagIf;
  if (state.cpl() == 0) mask |= kFlagIopl | kFlagVif | kFlagVip;
  return mask;
}

struct ReturnStack {
  u64 rsp = 0;
  Segment ss;
  bool switched = false;
};

// Pops SS:SP when the level changes, and always in 64-bit mode.
Fault pop_stack(CpuCore& core, StackFrame& frame, const CodeTarget& target, unsigned bytes,
                ReturnStack& out) {
  CpuState& state = core.state;
  out.switched = (target.selector & 3u) > state.cpl() || state.code64();
  if (!out.switched) {
    out.rsp = frame.rsp(state.gpr[kRsp]);
    return Fault::none();
  }
  u64 sp = 0;
  u64 selector = 0;
  if (Fault f = frame.pop(bytes, sp)) return f;
  if (Fault f = frame.pop(bytes, selector)) return f;
  if (Fault f = fetch_return_stack(core, static_cast<u16>(selector), target, out.ss)) return f;
  out.rsp = returned_rsp(state, target, out.ss, sp);
  return Fault::none();
}

Fault return_protected(CpuCore& core, unsigned bytes, u64 next_rip) {
  CpuState& state = core.state;
  if ((state.rflags & kFlagNt) != 0) {
    return state.long_mode() ? Fault::gp() : return_from_task(core, next_rip);
  }
  StackFrame frame = StackFrame::current(core);
  ReturnFrame popped;
  if (Fault f = pop_frame(frame, bytes, popped)) return f;
  const bool wants_vm86 = bytes == 4 && (popped.flags & kFlagVm) != 0;
  if (wants_vm86 && state.cpl() == 0 && !state.long_mode()) {
    return return_to_vm86(core, frame, popped);
  }
  CodeTarget target;
  ReturnStack stack;
  if (Fault f = fetch_return_code(core, static_cast<u16>(popped.selector), target)) return f;
  if (Fault f = check_rip(state, target.descriptor, popped.rip)) return f;
  if (Fault f = pop_stack(core, frame, target, bytes, stack)) return f;
  if (Fault f = set_accessed(core, target.descriptor, target.address)) return f;
  const unsigned rpl = target.selector & 3u;
  const bool outer = rpl > state.cpl();
  load_flags(core, protected_mask(state), bytes, popped.flags);
  if (stack.switched) state.segments[kSs] = stack.ss;
  state.gpr[kRsp] = stack.rsp;
  if (outer) drop_inner_segments(state, rpl);
  enter_code(core, target, rpl, popped.rip);
  return Fault::none();
}

}  // namespace

Fault interrupt_return(CpuCore& core, unsigned operand_bytes, u64 next_rip) noexcept {
  const CpuState& state = core.state;
  if (!state.protected_mode()) return return_real(core, operand_bytes);
  if (state.vm86()) return return_vm86(core, operand_bytes);
  return return_protected(core, operand_bytes, next_rip);
}

}  // namespace emu
