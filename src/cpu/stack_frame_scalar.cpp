// SPDX-License-Identifier: Apache-2.0
// Stacks of far transfers. Source: Intel SDM vol. 3 5.8.5, 7.7.
#include "cpu/stack_frame.h"

#include "base/bits.h"
#include "cpu/page_walk.h"

namespace emu {

StackFrame::StackFrame(CpuCore& core, const Segment& ss, u64 sp, bool flat, Privilege who,
                       u32 fault_code) noexcept
    : core_(core), ss_(ss), flat_(flat), who_(who), fault_code_(fault_code) {
  mask_ = flat ? ~u64{0} : (ss.attributes & kSegBig) != 0 ? u64{0xffffffff} : u64{0xffff};
  sp_ = sp & mask_;
}

StackFrame StackFrame::current(CpuCore& core) noexcept {
  const CpuState& state = core.state;
  return {core, state.segments[kSs], state.gpr[kRsp], state.code64(), Privilege::kCurrent, 0};
}

StackFrame StackFrame::current64(CpuCore& core) noexcept {
  return {core, core.state.segments[kSs], core.state.gpr[kRsp], true, Privilege::kCurrent, 0};
}

StackFrame StackFrame::of_segment(CpuCore& core, const Segment& ss, u64 sp, Privilege who,
                                  u32 fault_code) noexcept {
  return {core, ss, sp, false, who, fault_code};
}

StackFrame StackFrame::flat(CpuCore& core, u64 sp, Privilege who) noexcept {
  return {core, Segment{}, sp, true, who, 0};
}

LinearAddr StackFrame::linear(u64 offset) const noexcept {
  return flat_ ? LinearAddr{offset} : LinearAddr{(ss_.base + offset) & 0xffffffff};
}

Fault StackFrame::check(u64 offset, u64 bytes) const noexcept {
  const Fault overflow = Fault::with_code(kVectorSs, fault_code_);
  if (flat_) {
    return is_canonical(offset) && is_canonical(offset + bytes - 1) ? Fault::none() : overflow;
  }
  u64 low = 0;
  u64 high = 0;
  segment_range(ss_, low, high);
  const bool fits = ss_.usable() && offset >= low && offset + bytes - 1 <= high;
  return fits ? Fault::none() : overflow;
}

Fault StackFrame::reserve(unsigned count, unsigned bytes) noexcept {
  const u64 total = u64{count} * bytes;
  const u64 bottom = (sp_ - total) & mask_;
  const bool wraps = bottom + total - 1 > mask_ || bottom + total - 1 < bottom;
  if (!wraps && !check(bottom, total) && !core_.memory.probe_write(linear(bottom), total, who_)) {
    return Fault::none();
  }
  // Word by word in the order of the pushes: around the end of the segment, or to find the one that
  // faults first, whose address CR2 reports.
  for (unsigned i = 1; i <= count; ++i) {
    const u64 offset = (sp_ - u64{i} * bytes) & mask_;
    if (Fault f = check(offset, bytes)) return f;
    if (Fault f = core_.memory.probe_write(linear(offset), bytes, who_)) return f;
  }
  return Fault::none();
}

Fault StackFrame::push(u64 value, unsigned bytes) noexcept {
  const u64 offset = (sp_ - bytes) & mask_;
  if (Fault f = check(offset, bytes)) return f;
  if (Fault f = core_.memory.write(linear(offset), bytes, value & byte_mask(bytes), who_)) {
    return f;
  }
  sp_ = offset;
  return Fault::none();
}

Fault StackFrame::peek(u64 offset, unsigned bytes, u64& value) noexcept {
  const u64 at = (sp_ + offset) & mask_;
  if (Fault f = check(at, bytes)) return f;
  return core_.memory.read(linear(at), bytes, value, who_);
}

Fault StackFrame::pop(unsigned bytes, u64& value) noexcept {
  if (Fault f = peek(0, bytes, value)) return f;
  skip(bytes);
  return Fault::none();
}

u64 StackFrame::rsp(u64 old_rsp) const noexcept {
  return mask_ == 0xffff ? (old_rsp & ~u64{0xffff}) | sp_ : sp_;
}

Fault read_inner_stack(CpuCore& core, unsigned level, u16& ss, u64& sp) noexcept {
  const Segment& tr = core.state.tr;
  const bool wide = (tr.attributes & 8) != 0;
  const u32 offset = wide ? 4 + 8 * level : 2 + 4 * level;
  const u32 last = offset + (wide ? 5 : 3);
  if (!tr.usable() || last > tr.limit) {
    return Fault::with_code(kVectorTs, tr.selector & 0xfffcu);
  }
  const LinearAddr at{(tr.base + offset) & 0xffffffff};
  const unsigned bytes = wide ? 4 : 2;
  u64 selector = 0;
  if (Fault f = core.memory.read(at, bytes, sp, Privilege::kSupervisor)) return f;
  if (Fault f = core.memory.read(at + bytes, 2, selector, Privilege::kSupervisor)) return f;
  ss = static_cast<u16>(selector);
  return Fault::none();
}

Fault read_tss_rsp(CpuCore& core, unsigned offset, u64& rsp) noexcept {
  const Segment& tr = core.state.tr;
  if (!tr.usable() || offset + 7 > tr.limit) {
    return Fault::with_code(kVectorTs, tr.selector & 0xfffcu);
  }
  return core.memory.read(LinearAddr{tr.base + offset}, 8, rsp, Privilege::kSupervisor);
}

Fault load_inner_ss(CpuCore& core, u16 selector, unsigned level, Segment& out) noexcept {
  const u32 code = selector & 0xfffcu;
  const Fault invalid = Fault::with_code(kVectorTs, code);
  if (code == 0) return invalid;
  Descriptor d;
  LinearAddr address;
  if (Fault f = read_descriptor(core, selector, kVectorTs, d, address)) return f;
  const bool writable_data = d.is_data() && bit(d.low, 41);
  if ((selector & 3u) != level || d.dpl() != level || !writable_data) return invalid;
  if (!d.present()) return Fault::with_code(kVectorSs, code);
  if (Fault f = set_accessed(core, d, address)) return f;
  out = unpack_segment(d, selector);
  return Fault::none();
}

}  // namespace emu
