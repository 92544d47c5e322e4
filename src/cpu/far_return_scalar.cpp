// SPDX-License-Identifier: Apache-2.0
// RETF, and what it shares with IRET. Source: Intel SDM vol. 2 RET; vol. 3 5.8.6.
#include "base/bits.h"
#include "cpu/far_transfer.h"
#include "cpu/outer_return.h"
#include "cpu/stack_frame.h"

namespace emu {
namespace {

Fault return_real(CpuCore& core, unsigned bytes, u16 release) {
  CpuState& state = core.state;
  StackFrame frame = StackFrame::current(core);
  u64 rip = 0;
  u64 selector = 0;
  if (Fault f = frame.pop(bytes, rip)) return f;
  if (Fault f = frame.pop(bytes, selector)) return f;
  const u16 cs_selector = static_cast<u16>(selector);
  Segment cs = vm86_segment(cs_selector);
  if (!state.vm86()) {
    cs = state.segments[kCs];
    cs.selector = cs_selector;
    cs.base = u64{cs_selector} << 4;
  }
  if (rip > cs.limit) return Fault::gp();
  frame.skip(release);
  state.gpr[kRsp] = frame.rsp(state.gpr[kRsp]);
  state.segments[kCs] = cs;
  state.rip = rip;
  return Fault::none();
}

struct OuterStack {
  u64 sp = 0;
  Segment ss;
};

Fault pop_outer_stack(CpuCore& core, StackFrame& frame, const CodeTarget& target, unsigned bytes,
                      OuterStack& out) {
  u64 selector = 0;
  if (Fault f = frame.pop(bytes, out.sp)) return f;
  if (Fault f = frame.pop(bytes, selector)) return f;
  return fetch_return_stack(core, static_cast<u16>(selector), target, out.ss);
}

}  // namespace

Fault fetch_return_code(CpuCore& core, u16 selector, CodeTarget& out) noexcept {
  if (Fault f = fetch_code(core, selector, out)) return f;
  const Descriptor& d = out.descriptor;
  const unsigned rpl = selector & 3u;
  const bool level_fits = d.conforming() ? d.dpl() <= rpl : d.dpl() == rpl;
  if (rpl < core.state.cpl() || !level_fits) return Fault::gp(out.code());
  return check_present(out);
}

Fault fetch_return_stack(CpuCore& core, u16 selector, const CodeTarget& target,
                         Segment& out) noexcept {
  const unsigned rpl = target.selector & 3u;
  const u32 code = selector & 0xfffcu;
  if (code == 0) {
    const bool allowed =
        is_code64(core.state, target.descriptor) && rpl != 3 && (selector & 3u) == rpl;
    if (!allowed) return Fault::gp();
    out = null_segment(selector, rpl);
    return Fault::none();
  }
  Descriptor d;
  LinearAddr address;
  if (Fault f = read_descriptor(core, selector, kVectorGp, d, address)) return f;
  const bool writable_data = d.is_data() && bit(d.low, 41);
  if ((selector & 3u) != rpl || d.dpl() != rpl || !writable_data) return Fault::gp(code);
  if (!d.present()) return Fault::with_code(kVectorSs, code);
  if (Fault f = set_accessed(core, d, address)) return f;
  out = unpack_segment(d, selector);
  return Fault::none();
}

u64 returned_rsp(const CpuState& state, const CodeTarget& target, const Segment& ss,
                 u64 sp) noexcept {
  if (is_code64(state, target.descriptor)) return sp;
  if ((ss.attributes & kSegBig) != 0) return sp & 0xffffffff;
  return (state.gpr[kRsp] & 0xffff0000) | (sp & 0xffff);
}

void drop_inner_segments(CpuState& state, unsigned cpl) noexcept {
  for (const SegmentIndex index : {kEs, kFs, kGs, kDs}) {
    Segment& segment = state.segments[index];
    constexpr u16 kConformingCode = kSegCode | kSegConforming;
    if (!segment.usable() || (segment.attributes & kConformingCode) == kConformingCode) continue;
    if (segment.dpl() >= cpl) continue;
    const u64 base = segment.base;  // stays, as processors do it: FS and GS have 64-bit bases
    segment = null_segment(0, 0);
    segment.base = base;
  }
}

Fault far_return(CpuCore& core, unsigned operand_bytes, u16 release_bytes) noexcept {
  CpuState& state = core.state;
  if (!state.protected_mode() || state.vm86()) {
    return return_real(core, operand_bytes, release_bytes);
  }
  StackFrame frame = StackFrame::current(core);
  u64 rip = 0;
  u64 selector = 0;
  CodeTarget target;
  if (Fault f = frame.pop(operand_bytes, rip)) return f;
  if (Fault f = frame.pop(operand_bytes, selector)) return f;
  if (Fault f = fetch_return_code(core, static_cast<u16>(selector), target)) return f;
  if (Fault f = check_rip(state, target.descriptor, rip)) return f;
  frame.skip(release_bytes);
  const unsigned rpl = target.selector & 3u;
  const bool outer = rpl > state.cpl();
  OuterStack stack;
  if (outer) {
    if (Fault f = pop_outer_stack(core, frame, target, operand_bytes, stack)) return f;
  }
  if (Fault f = set_accessed(core, target.descriptor, target.address)) return f;
  if (outer) {
    state.gpr[kRsp] = returned_rsp(state, target, stack.ss, stack.sp + release_bytes);
    state.segments[kSs] = stack.ss;
    drop_inner_segments(state, rpl);
  } else {
    state.gpr[kRsp] = frame.rsp(state.gpr[kRsp]);
  }
  enter_code(core, target, rpl, rip);
  return Fault::none();
}

}  // namespace emu
