// SPDX-License-Identifier: Apache-2.0
// JMP and CALL far: direct, through call gates, to tasks.
// Source: Intel SDM vol. 2 JMP, CALL; vol. 3 5.8.2-5.8.5.
#include "base/bits.h"
#include "cpu/code_segment.h"
#include "cpu/far_transfer.h"
#include "cpu/stack_frame.h"
#include "cpu/task_switch.h"

namespace emu {
namespace {

// A JMP or CALL as decoded.
struct Transfer {
  CpuCore& core;
  u16 selector;
  u64 offset;
  unsigned operand_bytes;
  u64 next_rip;
  bool call;
};

Fault push_return(const Transfer& t, StackFrame& frame, unsigned bytes) {
  if (Fault f = frame.push(t.core.state.segments[kCs].selector, bytes)) return f;
  return frame.push(t.next_rip, bytes);
}

// Pushes CS:next_rip on the current stack, unless this is a JMP.
Fault push_here(const Transfer& t, StackFrame& frame, unsigned bytes) {
  if (!t.call) return Fault::none();
  if (Fault f = frame.reserve(2, bytes)) return f;
  return push_return(t, frame, bytes);
}

Fault transfer_real(const Transfer& t) {
  CpuState& state = t.core.state;
  Segment cs = vm86_segment(t.selector);
  if (!state.vm86()) {
    cs = state.segments[kCs];  // limit and size survive
    cs.selector = t.selector;
    cs.base = u64{t.selector} << 4;
    cs.attributes = static_cast<u16>((cs.attributes & (kSegBig | kSegGranularity)) | 0x93);
  }
  if (t.offset > cs.limit) return Fault::gp();
  StackFrame frame = StackFrame::current(t.core);
  if (Fault f = push_here(t, frame, t.operand_bytes)) return f;
  state.gpr[kRsp] = frame.rsp(state.gpr[kRsp]);
  state.segments[kCs] = cs;
  state.rip = t.offset;
  return Fault::none();
}

// Privilege of a direct transfer to a code segment.
Fault check_direct(const CpuState& state, const CodeTarget& target) {
  const Descriptor& d = target.descriptor;
  const unsigned cpl = state.cpl();
  const bool allowed =
      d.conforming() ? d.dpl() <= cpl : d.dpl() == cpl && (target.selector & 3u) <= cpl;
  return allowed ? check_present(target) : Fault::gp(target.code());
}

Fault transfer_direct(const Transfer& t, CodeTarget& target) {
  CpuState& state = t.core.state;
  if (Fault f = check_direct(state, target)) return f;
  if (Fault f = check_rip(state, target.descriptor, t.offset)) return f;
  if (Fault f = set_accessed(t.core, target.descriptor, target.address)) return f;
  StackFrame frame = StackFrame::current(t.core);
  if (Fault f = push_here(t, frame, t.operand_bytes)) return f;
  if (t.call) state.gpr[kRsp] = frame.rsp(state.gpr[kRsp]);
  enter_code(t.core, target, state.cpl(), t.offset);
  return Fault::none();
}

// --- Call gates.

struct Gate {
  const Descriptor& descriptor;
  CodeTarget target;
  unsigned bytes;  // of what it pushes: 2, 4 or 8
  u64 rip;
};

Fault transfer_gate_same_level(const Transfer& t, Gate& gate) {
  CpuState& state = t.core.state;
  if (Fault f = check_rip(state, gate.target.descriptor, gate.rip)) return f;
  if (Fault f = set_accessed(t.core, gate.target.descriptor, gate.target.address)) return f;
  StackFrame frame = gate.bytes == 8 ? StackFrame::current64(t.core) : StackFrame::current(t.core);
  if (Fault f = push_here(t, frame, gate.bytes)) return f;
  if (t.call) state.gpr[kRsp] = frame.rsp(state.gpr[kRsp]);
  enter_code(t.core, gate.target, state.cpl(), gate.rip);
  return Fault::none();
}

// SS:SP of the caller, the copied parameters, then the return address.
Fault push_inner_frame(const Transfer& t, const Gate& gate, StackFrame& frame) {
  const CpuState& state = t.core.state;
  const unsigned parameters = gate.bytes == 8 ? 0 : gate.descriptor.gate_count();
  if (Fault f = frame.reserve(4 + parameters, gate.bytes)) return f;
  if (Fault f = frame.push(state.segments[kSs].selector, gate.bytes)) return f;
  if (Fault f = frame.push(state.gpr[kRsp], gate.bytes)) return f;
  StackFrame old = StackFrame::current(t.core);
  for (unsigned i = parameters; i > 0; --i) {
    u64 value = 0;
    if (Fault f = old.peek(u64{i - 1} * gate.bytes, gate.bytes, value)) return f;
    if (Fault f = frame.push(value, gate.bytes)) return f;
  }
  return push_return(t, frame, gate.bytes);
}

Fault call_gate_inner_long(const Transfer& t, Gate& gate) {
  CpuState& state = t.core.state;
  const unsigned level = gate.target.descriptor.dpl();
  u64 rsp = 0;
  if (Fault f = read_tss_rsp(t.core, 4 + 8 * level, rsp)) return f;
  if (Fault f = check_rip(state, gate.target.descriptor, gate.rip)) return f;
  if (Fault f = set_accessed(t.core, gate.target.descriptor, gate.target.address)) return f;
  StackFrame frame = StackFrame::flat(t.core, rsp, Privilege::kSupervisor);
  if (Fault f = push_inner_frame(t, gate, frame)) return f;
  state.gpr[kRsp] = frame.rsp(0);
  state.segments[kSs] = null_segment(static_cast<u16>(level), level);
  enter_code(t.core, gate.target, level, gate.rip);
  return Fault::none();
}

Fault call_gate_inner(const Transfer& t, Gate& gate) {
  CpuState& state = t.core.state;
  const unsigned level = gate.target.descriptor.dpl();
  u16 selector = 0;
  u64 sp = 0;
  Segment ss;
  if (Fault f = read_inner_stack(t.core, level, selector, sp)) return f;
  if (Fault f = load_inner_ss(t.core, selector, level, ss)) return f;
  if (Fault f = check_rip(state, gate.target.descriptor, gate.rip)) return f;
  if (Fault f = set_accessed(t.core, gate.target.descriptor, gate.target.address)) return f;
  StackFrame frame =
      StackFrame::of_segment(t.core, ss, sp, Privilege::kSupervisor, selector & 0xfffcu);
  if (Fault f = push_inner_frame(t, gate, frame)) return f;
  state.gpr[kRsp] = frame.rsp(sp);
  state.segments[kSs] = ss;
  enter_code(t.core, gate.target, level, gate.rip);
  return Fault::none();
}

Fault transfer_through_gate(const Transfer& t, const Descriptor& descriptor) {
  const CpuState& state = t.core.state;
  const bool wide = descriptor.type() == kSysCallGate;
  Gate gate{descriptor, {}, state.long_mode() ? 8u : wide ? 4u : 2u, 0};
  gate.rip = wide ? descriptor.gate_offset32() : descriptor.gate_offset32() & 0xffff;
  if (state.long_mode()) gate.rip |= descriptor.high << 32;
  if (Fault f = fetch_code(t.core, descriptor.gate_selector(), gate.target)) return f;
  const Descriptor& code = gate.target.descriptor;
  const unsigned cpl = state.cpl();
  const bool inner = !code.conforming() && code.dpl() < cpl;
  const bool allowed = code.dpl() <= cpl && (t.call || !inner);
  if (!allowed || (state.long_mode() && !is_code64(state, code))) {
    return Fault::gp(gate.target.code());
  }
  if (Fault f = check_present(gate.target)) return f;
  if (!inner) return transfer_gate_same_level(t, gate);
  return state.long_mode() ? call_gate_inner_long(t, gate) : call_gate_inner(t, gate);
}

Fault transfer_to_task(const Transfer& t, u16 tss_selector) {
  TaskSwitch request;
  request.selector = tss_selector;
  request.cause = t.call ? TaskSwitchCause::kCall : TaskSwitchCause::kJump;
  request.next_rip = t.next_rip;
  return switch_task(t.core, request);
}

// Gates and TSS descriptors are as accessible as data: DPL against CPL and RPL.
Fault transfer_system(const Transfer& t) {
  const CpuState& state = t.core.state;
  const u32 code = t.selector & 0xfffcu;
  Descriptor d;
  LinearAddr address;
  if (Fault f = read_system_descriptor(t.core, t.selector, kVectorGp, d, address)) return f;
  const unsigned type = d.type();
  const bool call_gate = type == kSysCallGate || (type == kSysCallGate16 && !state.long_mode());
  const bool task =
      !state.long_mode() && (type == kSysTaskGate || type == kSysTss || type == kSysTss16);
  const bool accessible = d.dpl() >= state.cpl() && d.dpl() >= (t.selector & 3u);
  if (!d.is_system() || !(call_gate || task) || !accessible) return Fault::gp(code);
  if (!d.present()) return Fault::with_code(kVectorNp, code);
  if (call_gate) return transfer_through_gate(t, d);
  return transfer_to_task(t, type == kSysTaskGate ? d.gate_selector() : t.selector);
}

Fault transfer(const Transfer& t) {
  const CpuState& state = t.core.state;
  if (!state.protected_mode() || state.vm86()) return transfer_real(t);
  if ((t.selector & 0xfffc) == 0) return Fault::gp();
  Descriptor d;
  LinearAddr address;
  if (Fault f = read_descriptor(t.core, t.selector, kVectorGp, d, address)) return f;
  if (d.is_system()) return transfer_system(t);
  CodeTarget target;
  if (Fault f = fetch_code(t.core, t.selector, target)) return f;
  return transfer_direct(t, target);
}

}  // namespace

Fault far_jump(CpuCore& core, u16 selector, u64 offset, unsigned operand_bytes,
               u64 next_rip) noexcept {
  return transfer(
      {core, selector, offset & byte_mask(operand_bytes), operand_bytes, next_rip, false});
}

Fault far_call(CpuCore& core, u16 selector, u64 offset, unsigned operand_bytes,
               u64 next_rip) noexcept {
  return transfer(
      {core, selector, offset & byte_mask(operand_bytes), operand_bytes, next_rip, true});
}

}  // namespace emu
