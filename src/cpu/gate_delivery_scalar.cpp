// SPDX-License-Identifier: Apache-2.0
// Real-mode vectors, protected-mode and long-mode gates.
// Source: Intel SDM vol. 2 INT n; vol. 3 6.12-6.14, 20.1.4, 20.3.1-20.3.3.
#include "cpu/gate_delivery.h"

#include "base/bits.h"
#include "cpu/code_segment.h"
#include "cpu/debug_registers.h"
#include "cpu/page_walk.h"
#include "cpu/stack_frame.h"
#include "cpu/task_switch.h"

namespace emu {
namespace {

// An event with what is pushed for it.
struct Delivery {
  CpuCore& core;
  const Event& event;
  u64 return_rip;
  u64 flags;
};

bool is_software(EventKind kind) {
  return kind == EventKind::kSoftwareInterrupt || kind == EventKind::kSoftwareException;
}

// RF in the pushed image (SDM vol. 3 17.3.1.1): set for faults other than instruction breakpoints.
bool pushes_rf(const Event& event) {
  if (event.kind != EventKind::kException) return event.resume;
  switch (event.vector) {
    case kVectorDb:
      return event.resume || (event.address & kDr6Bd) != 0;
    case kVectorBp:
    case kVectorOf:
    case kVectorDf:
    case kVectorMc:
      return event.resume;
    default:
      return true;
  }
}

u32 gate_code(u8 vector) {
  return vector * 8u + 2;
}

// --- Real mode, and INT n redirected to the virtual-8086 program.

Fault read_ivt(CpuCore& core, u64 base, u8 vector, u64& entry) {
  const LinearAddr at{(base + vector * 4u) & 0xffffffff};
  return core.memory.read(at, 4, entry, Privilege::kSupervisor);
}

Fault push_real_frame(const Delivery& d, u64 flags, StackFrame& frame) {
  if (Fault f = frame.reserve(3, 2)) return f;
  if (Fault f = frame.push(flags, 2)) return f;
  if (Fault f = frame.push(d.core.state.segments[kCs].selector, 2)) return f;
  return frame.push(d.return_rip, 2);
}

Fault deliver_real(const Delivery& d) {
  CpuState& state = d.core.state;
  if (d.event.vector * 4u + 3 > state.idtr.limit) return Fault::gp();
  u64 entry = 0;
  if (Fault f = read_ivt(d.core, state.idtr.base, d.event.vector, entry)) return f;
  StackFrame frame = StackFrame::current(d.core);
  if (Fault f = push_real_frame(d, d.flags, frame)) return f;
  state.gpr[kRsp] = frame.rsp(state.gpr[kRsp]);
  state.rflags &= ~(kFlagIf | kFlagTf | kFlagAc | kFlagRf);
  Segment& cs = state.segments[kCs];
  cs.selector = static_cast<u16>(entry >> 16);
  cs.base = u64{cs.selector} << 4;
  state.rip = entry & 0xffff;
  return Fault::none();
}

// Whether the TSS redirects INT `vector` to the virtual-8086 program's own handler
// (SDM vol. 3 20.3.3, table 20-2: a clear bit does).
Fault is_redirected(CpuCore& core, u8 vector, bool& redirected) {
  redirected = false;
  const CpuState& state = core.state;
  const bool wide_tss = (state.tr.attributes & 8) != 0;
  if ((state.cr4 & kCr4Vme) == 0 || !wide_tss || state.tr.limit < 103) return Fault::none();
  u64 io_map = 0;
  const LinearAddr tss{state.tr.base};
  if (Fault f = core.memory.read(tss + 102, 2, io_map, Privilege::kSupervisor)) return f;
  if (io_map < 32 || io_map > state.tr.limit) return Fault::none();
  u64 byte = 0;
  const LinearAddr at = tss + io_map - 32 + vector / 8u;
  if (Fault f = core.memory.read(at, 1, byte, Privilege::kSupervisor)) return f;
  redirected = !bit(byte, vector % 8u);
  return Fault::none();
}

Fault deliver_redirected(const Delivery& d) {
  CpuState& state = d.core.state;
  const bool full_iopl = (state.rflags & kFlagIopl) == kFlagIopl;
  u64 entry = 0;
  const LinearAddr at{d.event.vector * 4u};
  if (Fault f = d.core.memory.read(at, 4, entry, Privilege::kCurrent)) return f;
  u64 flags = d.flags;
  if (!full_iopl) {
    flags &= ~kFlagIf;
    flags |= kFlagIopl | ((state.rflags & kFlagVif) != 0 ? kFlagIf : 0);
  }
  StackFrame frame = StackFrame::current(d.core);
  if (Fault f = push_real_frame(d, flags, frame)) return f;
  state.gpr[kRsp] = frame.rsp(state.gpr[kRsp]);
  state.rflags &= ~(kFlagTf | kFlagNt | kFlagRf | (full_iopl ? kFlagIf : kFlagVif));
  state.segments[kCs] = vm86_segment(static_cast<u16>(entry >> 16));
  state.rip = entry & 0xffff;
  return Fault::none();
}

// --- Protected and long mode.

struct GateTarget {
  const Descriptor& gate;
  CodeTarget code;
  unsigned cpl;  // of the handler
  bool inner;    // more privileged than now: the stack is switched
};

void enter_handler(const Delivery& d, const GateTarget& target, u64 rip) {
  CpuState& state = d.core.state;
  enter_code(d.core, target.code, target.cpl, rip);
  state.rflags &= ~(kFlagTf | kFlagVm | kFlagRf | kFlagNt);
  if ((target.gate.type() & 1) == 0) state.rflags &= ~kFlagIf;
}

Fault choose_long_stack(const Delivery& d, const GateTarget& target, u64& rsp) {
  const unsigned ist = target.gate.gate_ist();
  if (ist != 0) return read_tss_rsp(d.core, 28 + 8 * ist, rsp);
  if (target.inner) return read_tss_rsp(d.core, 4 + 8 * target.cpl, rsp);
  rsp = d.core.state.gpr[kRsp];
  return Fault::none();
}

Fault push_long_frame(const Delivery& d, StackFrame& frame) {
  const CpuState& state = d.core.state;
  if (Fault f = frame.reserve(d.event.has_error_code ? 6 : 5, 8)) return f;
  const u64 words[5] = {state.segments[kSs].selector, state.gpr[kRsp], d.flags,
                        state.segments[kCs].selector, d.return_rip};
  for (const u64 word : words) {
    if (Fault f = frame.push(word, 8)) return f;
  }
  return d.event.has_error_code ? frame.push(d.event.error_code, 8) : Fault::none();
}

Fault deliver_long(const Delivery& d, GateTarget& target) {
  CpuState& state = d.core.state;
  const u64 rip = target.gate.gate_offset32() | (target.gate.high << 32);
  u64 rsp = 0;
  if (Fault f = choose_long_stack(d, target, rsp)) return f;
  if (!is_canonical(rsp)) return Fault::with_code(kVectorSs, 0);
  if (Fault f = check_rip(state, target.code.descriptor, rip)) return f;
  if (Fault f = set_accessed(d.core, target.code.descriptor, target.code.address)) return f;
  const Privilege who = target.inner ? Privilege::kSupervisor : Privilege::kCurrent;
  StackFrame frame = StackFrame::flat(d.core, rsp & ~u64{15}, who);
  if (Fault f = push_long_frame(d, frame)) return f;
  state.gpr[kRsp] = frame.rsp(0);
  if (target.inner) {
    state.segments[kSs] = null_segment(static_cast<u16>(target.cpl), target.cpl);
  }
  enter_handler(d, target, rip);
  return Fault::none();
}

Fault push_error_code(const Delivery& d, StackFrame& frame, unsigned bytes) {
  return d.event.has_error_code ? frame.push(d.event.error_code, bytes) : Fault::none();
}

Fault push_return(const Delivery& d, StackFrame& frame, unsigned bytes) {
  if (Fault f = frame.push(d.flags, bytes)) return f;
  if (Fault f = frame.push(d.core.state.segments[kCs].selector, bytes)) return f;
  if (Fault f = frame.push(d.return_rip, bytes)) return f;
  return push_error_code(d, frame, bytes);
}

// The outer stack, below the data segments of an interrupted virtual-8086 program.
Fault push_outer(const Delivery& d, StackFrame& frame, unsigned bytes) {
  const CpuState& state = d.core.state;
  if (state.vm86()) {
    for (const SegmentIndex index : {kGs, kFs, kDs, kEs}) {
      if (Fault f = frame.push(state.segments[index].selector, bytes)) return f;
    }
  }
  if (Fault f = frame.push(state.segments[kSs].selector, bytes)) return f;
  return frame.push(state.gpr[kRsp], bytes);
}

Fault deliver_inner(const Delivery& d, GateTarget& target, u64 rip, unsigned bytes) {
  CpuState& state = d.core.state;
  u16 selector = 0;
  u64 sp = 0;
  Segment ss;
  if (Fault f = read_inner_stack(d.core, target.cpl, selector, sp)) return f;
  if (Fault f = load_inner_ss(d.core, selector, target.cpl, ss)) return f;
  if (Fault f = check_rip(state, target.code.descriptor, rip)) return f;
  if (Fault f = set_accessed(d.core, target.code.descriptor, target.code.address)) return f;
  StackFrame frame =
      StackFrame::of_segment(d.core, ss, sp, Privilege::kSupervisor, selector & 0xfffcu);
  const unsigned words = 5u + (d.event.has_error_code ? 1 : 0) + (state.vm86() ? 4 : 0);
  if (Fault f = frame.reserve(words, bytes)) return f;
  if (Fault f = push_outer(d, frame, bytes)) return f;
  if (Fault f = push_return(d, frame, bytes)) return f;
  if (state.vm86()) {
    for (const SegmentIndex index : {kGs, kFs, kDs, kEs}) {
      state.segments[index] = null_segment(0, 0);
    }
  }
  state.gpr[kRsp] = frame.rsp(sp);
  state.segments[kSs] = ss;
  enter_handler(d, target, rip);
  return Fault::none();
}

Fault deliver_same_level(const Delivery& d, GateTarget& target, u64 rip, unsigned bytes) {
  CpuState& state = d.core.state;
  if (Fault f = check_rip(state, target.code.descriptor, rip)) return f;
  if (Fault f = set_accessed(d.core, target.code.descriptor, target.code.address)) return f;
  StackFrame frame = StackFrame::current(d.core);
  if (Fault f = frame.reserve(d.event.has_error_code ? 4 : 3, bytes)) return f;
  if (Fault f = push_return(d, frame, bytes)) return f;
  state.gpr[kRsp] = frame.rsp(state.gpr[kRsp]);
  enter_handler(d, target, rip);
  return Fault::none();
}

Fault deliver_to_code(const Delivery& d, const Descriptor& gate) {
  const CpuState& state = d.core.state;
  const unsigned cpl = state.cpl();
  GateTarget target{gate, {}, cpl, false};
  if (Fault f = fetch_code(d.core, gate.gate_selector(), target.code)) return f;
  const Descriptor& code = target.code.descriptor;
  const Fault denied = Fault::gp(target.code.code());
  if (code.dpl() > cpl) return denied;
  if (state.long_mode() && !is_code64(state, code)) return denied;
  if (Fault f = check_present(target.code)) return f;
  target.inner = !code.conforming() && code.dpl() < cpl;
  if (target.inner) target.cpl = code.dpl();
  if (state.vm86() && (!target.inner || target.cpl != 0)) return denied;
  if (state.long_mode()) return deliver_long(d, target);
  const bool wide = (gate.type() & 8) != 0;
  const u64 rip = wide ? gate.gate_offset32() : gate.gate_offset32() & 0xffff;
  const unsigned bytes = wide ? 4 : 2;
  return target.inner ? deliver_inner(d, target, rip, bytes)
                      : deliver_same_level(d, target, rip, bytes);
}

Fault deliver_to_task(const Delivery& d, const Descriptor& gate) {
  TaskSwitch request;
  request.selector = gate.gate_selector();
  request.cause = TaskSwitchCause::kInterrupt;
  request.has_error_code = d.event.has_error_code;
  request.error_code = d.event.error_code;
  request.next_rip = d.return_rip;
  request.resume = (d.flags & kFlagRf) != 0;
  return switch_task(d.core, request);
}

Fault read_gate(CpuCore& core, u8 vector, Descriptor& gate) {
  const CpuState& state = core.state;
  const unsigned bytes = state.long_mode() ? 16 : 8;
  const Fault bad = Fault::gp(gate_code(vector));
  if (vector * bytes + bytes - 1 > state.idtr.limit) return bad;
  const u64 linear = state.idtr.base + vector * bytes;
  const LinearAddr at{state.long_mode() ? linear : linear & 0xffffffff};
  if (Fault f = core.memory.read(at, 8, gate.low, Privilege::kSupervisor)) return f;
  if (!state.long_mode()) return Fault::none();
  return core.memory.read(at + 8, 8, gate.high, Privilege::kSupervisor);
}

bool is_gate_type(unsigned type, bool long_mode) {
  if (type == kSysInterruptGate || type == kSysTrapGate) return true;
  return !long_mode &&
         (type == kSysTaskGate || type == kSysInterruptGate16 || type == kSysTrapGate16);
}

Fault deliver_protected(const Delivery& d) {
  const CpuState& state = d.core.state;
  const u32 code = gate_code(d.event.vector);
  Descriptor gate;
  if (Fault f = read_gate(d.core, d.event.vector, gate)) return f;
  if (!gate.is_system() || !is_gate_type(gate.type(), state.long_mode())) return Fault::gp(code);
  if (is_software(d.event.kind) && gate.dpl() < state.cpl()) return Fault::gp(code);
  if (!gate.present()) return Fault::with_code(kVectorNp, code);
  return gate.type() == kSysTaskGate ? deliver_to_task(d, gate) : deliver_to_code(d, gate);
}

Fault deliver_by_mode(const Delivery& d) {
  const CpuState& state = d.core.state;
  if (!state.protected_mode()) return deliver_real(d);
  if (state.vm86() && d.event.kind == EventKind::kSoftwareInterrupt) {
    bool redirected = false;
    if (Fault f = is_redirected(d.core, d.event.vector, redirected)) return f;
    if (redirected) return deliver_redirected(d);
    if ((state.rflags & kFlagIopl) != kFlagIopl) return Fault::gp();
  }
  return deliver_protected(d);
}

bool carries_ext_bit(u8 vector) {
  return vector == kVectorTs || vector == kVectorNp || vector == kVectorSs || vector == kVectorGp;
}

}  // namespace

Fault deliver_through_gate(CpuCore& core, const Event& event) noexcept {
  const bool returns_after = is_software(event.kind) || event.kind == EventKind::kIcebp;
  // RF of the state means something only while breakpoints are set (see syscall_enter()).
  const bool holds_rf =
      (core.state.rflags & kFlagRf) != 0 && !returns_after && has_code_breakpoints(core.state);
  u64 flags = core.state.rflags & ~kFlagRf;
  if (pushes_rf(event) || holds_rf) flags |= kFlagRf;
  const Delivery delivery{core, event, returns_after ? event.next_rip : core.state.rip, flags};
  Fault fault = deliver_by_mode(delivery);
  if (fault && !is_software(event.kind) && carries_ext_bit(fault.vector)) fault.error_code |= 1;
  return fault;
}

}  // namespace emu
