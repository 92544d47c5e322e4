// SPDX-License-Identifier: Apache-2.0
// The hardware task switch. Source: Intel SDM vol. 3 7.2.1, 7.2.6, 7.3, 7.4.
#include "cpu/task_switch.h"

#include "base/bits.h"
#include "cpu/debug_registers.h"
#include "cpu/page_walk.h"
#include "cpu/stack_frame.h"

namespace emu {
namespace {

constexpr u8 kBusy = 2;
constexpr u64 kDr7Local = 0x155;  // L0-L3, LE

// Byte offsets in the two TSS formats (SDM vol. 3 figures 7-2 and 7-10).
struct Layout {
  bool wide;
  [[nodiscard]] u32 minimum_limit() const { return wide ? 0x67 : 0x2b; }
  [[nodiscard]] unsigned word() const { return wide ? 4 : 2; }
  [[nodiscard]] u32 rip() const { return wide ? 0x20 : 0x0e; }
  [[nodiscard]] u32 flags() const { return rip() + word(); }
  [[nodiscard]] u32 gpr(unsigned i) const { return rip() + (2 + i) * word(); }
  // In the order of SegmentIndex; a 16-bit TSS has no FS and GS.
  [[nodiscard]] u32 segment(unsigned i) const { return gpr(8) + i * word(); }
  [[nodiscard]] unsigned segments() const { return wide ? 6 : 4; }
  [[nodiscard]] u32 ldt() const { return wide ? 0x60 : 0x2a; }
};

// Everything a TSS holds that is loaded.
struct Image {
  u64 cr3 = 0;
  u64 rip = 0;
  u64 flags = 0;
  u64 gpr[8];
  u16 segments[kSegmentCount];
  u16 ldt = 0;
  bool trap = false;
};

struct NewTask {
  Descriptor descriptor;
  LinearAddr descriptor_address;
  Layout layout{};
  Segment tr;
  Image image;
};

Layout layout_of(const Segment& tr) {
  return Layout{(tr.attributes & 8) != 0};
}

Fault read_tss(CpuCore& core, const Segment& tr, u32 offset, unsigned bytes, u64& value) {
  const LinearAddr at{(tr.base + offset) & 0xffffffff};
  return core.memory.read(at, bytes, value, Privilege::kSupervisor);
}

Fault write_tss(CpuCore& core, const Segment& tr, u32 offset, unsigned bytes, u64 value) {
  const LinearAddr at{(tr.base + offset) & 0xffffffff};
  return core.memory.write(at, bytes, value & byte_mask(bytes), Privilege::kSupervisor);
}

Fault find_task(CpuCore& core, const TaskSwitch& request, NewTask& task) {
  const bool iret = request.cause == TaskSwitchCause::kIret;
  const Vector vector = iret ? kVectorTs : kVectorGp;
  const u32 code = request.selector & 0xfffcu;
  if ((request.selector & 4) != 0 || code == 0) return Fault::with_code(vector, code);
  Descriptor& d = task.descriptor;
  if (Fault f = read_descriptor(core, request.selector, vector, d, task.descriptor_address)) {
    return f;
  }
  const unsigned wanted = iret ? kBusy : 0;
  const bool is_tss = d.is_system() && (d.type() & 7) == (1u | wanted);
  if (!is_tss) return Fault::with_code(vector, code);
  if (!d.present()) return Fault::with_code(kVectorNp, code);
  task.tr = unpack_segment(d, request.selector);
  task.layout = layout_of(task.tr);
  if (task.tr.limit < task.layout.minimum_limit()) return Fault::with_code(kVectorTs, code);
  task.tr.attributes |= kBusy;
  return Fault::none();
}

Fault read_selectors(CpuCore& core, const NewTask& task, Image& image) {
  const Layout& layout = task.layout;
  u64 value = 0;
  for (unsigned i = 0; i < kSegmentCount; ++i) {
    value = 0;
    if (i < layout.segments()) {
      if (Fault f = read_tss(core, task.tr, layout.segment(i), 2, value)) return f;
    }
    image.segments[i] = static_cast<u16>(value);
  }
  if (Fault f = read_tss(core, task.tr, layout.ldt(), 2, value)) return f;
  image.ldt = static_cast<u16>(value);
  return Fault::none();
}

Fault read_image(CpuCore& core, NewTask& task) {
  const Layout& layout = task.layout;
  Image& image = task.image;
  image.cr3 = core.state.cr3;
  if (layout.wide) {
    u64 trap = 0;
    if (Fault f = read_tss(core, task.tr, 0x1c, 4, image.cr3)) return f;
    if (Fault f = read_tss(core, task.tr, 0x64, 2, trap)) return f;
    image.trap = bit(trap, 0);
  }
  if (Fault f = read_tss(core, task.tr, layout.rip(), layout.word(), image.rip)) return f;
  if (Fault f = read_tss(core, task.tr, layout.flags(), layout.word(), image.flags)) return f;
  for (unsigned i = 0; i < 8; ++i) {
    if (Fault f = read_tss(core, task.tr, layout.gpr(i), layout.word(), image.gpr[i])) return f;
  }
  return read_selectors(core, task, image);
}

// Saves the outgoing task; its TSS was probed.
Fault save_outgoing(CpuCore& core, const TaskSwitch& request) {
  const CpuState& state = core.state;
  const Layout layout = layout_of(state.tr);
  const unsigned word = layout.word();
  u64 flags = state.rflags & ~kFlagRf;
  if (request.resume) flags |= kFlagRf;
  if (request.cause == TaskSwitchCause::kIret) flags &= ~kFlagNt;
  if (Fault f = write_tss(core, state.tr, layout.rip(), word, request.next_rip)) return f;
  if (Fault f = write_tss(core, state.tr, layout.flags(), word, flags)) return f;
  for (unsigned i = 0; i < 8; ++i) {
    if (Fault f = write_tss(core, state.tr, layout.gpr(i), word, state.gpr[i])) return f;
  }
  for (unsigned i = 0; i < layout.segments(); ++i) {
    const u16 selector = state.segments[i].selector;
    if (Fault f = write_tss(core, state.tr, layout.segment(i), 2, selector)) return f;
  }
  return Fault::none();
}

// The dynamic part of the outgoing TSS must be writable before anything is committed.
Fault probe_outgoing(CpuCore& core) {
  const Segment& tr = core.state.tr;
  const Layout layout = layout_of(tr);
  if (!tr.usable() || tr.limit < layout.minimum_limit()) {
    return Fault::with_code(kVectorTs, tr.selector & 0xfffcu);
  }
  const LinearAddr at{(tr.base + layout.rip()) & 0xffffffff};
  return core.memory.probe_write(at, layout.ldt() - layout.rip(), Privilege::kSupervisor);
}

Fault probe_incoming(CpuCore& core, const TaskSwitch& request, const NewTask& task) {
  const bool links =
      request.cause == TaskSwitchCause::kCall || request.cause == TaskSwitchCause::kInterrupt;
  if (!links) return Fault::none();
  return core.memory.probe_write(LinearAddr{task.tr.base}, 2, Privilege::kSupervisor);
}

Fault set_busy(CpuCore& core, LinearAddr descriptor, bool busy) {
  const LinearAddr at = descriptor + 5;
  for (unsigned attempt = 0; attempt < 8; ++attempt) {
    u64 old = 0;
    if (Fault f = core.memory.read(at, 1, old, Privilege::kSupervisor)) return f;
    const u64 desired = busy ? old | kBusy : old & ~u64{kBusy};
    bool swapped = false;
    if (Fault f = core.memory.compare_exchange(at, 1, old, desired, swapped)) return f;
    if (swapped) break;
  }
  return Fault::none();
}

// Clears the busy bit of the outgoing task (JMP, IRET) and sets that of the incoming one.
Fault update_busy(CpuCore& core, const TaskSwitch& request, const NewTask& task) {
  const bool nests =
      request.cause == TaskSwitchCause::kCall || request.cause == TaskSwitchCause::kInterrupt;
  if (!nests) {
    const CpuState& state = core.state;
    const u64 offset = state.tr.selector & 0xfff8u;
    const LinearAddr outgoing{(state.gdtr.base + offset) & 0xffffffff};
    if (offset + 7 <= state.gdtr.limit && offset != 0) {
      if (Fault f = set_busy(core, outgoing, false)) return f;
    }
  }
  if (request.cause == TaskSwitchCause::kIret) return Fault::none();
  return set_busy(core, task.descriptor_address, true);
}

// From here on the state is the incoming task's.
void load_registers(CpuCore& core, const TaskSwitch& request, const NewTask& task,
                    const u64 (&pdptes)[4]) {
  CpuState& state = core.state;
  const Image& image = task.image;
  const bool nests =
      request.cause == TaskSwitchCause::kCall || request.cause == TaskSwitchCause::kInterrupt;
  constexpr u64 kLoaded = 0x3f7fd7;
  state.rflags = (image.flags & kLoaded) | kFlagFixed1 | (nests ? kFlagNt : 0);
  state.rip = image.rip;
  for (unsigned i = 0; i < 8; ++i) state.gpr[i] = image.gpr[i];
  state.tr = task.tr;
  state.cr0 |= kCr0Ts;
  state.dr7 &= ~kDr7Local;
  core.effects |= kEffectInterrupts | kEffectBreakpoints;
  if ((state.cr0 & kCr0Pg) != 0 && task.layout.wide) {
    if (state.cr3 != image.cr3) core.effects |= kEffectAddressSpace | kEffectFlushNonGlobal;
    state.cr3 = image.cr3;
    core.paging_cache.flush();
    for (unsigned i = 0; i < 4; ++i) state.pdpte[i] = pdptes[i];
  }
  // Selectors first, hidden parts one by one below: a fault in between finds them unusable. CPL is
  // that of the new CS from now on.
  const unsigned cpl = (state.rflags & kFlagVm) != 0 ? 3u : image.segments[kCs] & 3u;
  for (unsigned i = 0; i < kSegmentCount; ++i) {
    state.segments[i] = null_segment(image.segments[i], i == kSs || i == kCs ? cpl : 0);
  }
  state.ldtr = null_segment(image.ldt, 0);
}

Fault invalid_tss(u16 selector) {
  return Fault::with_code(kVectorTs, selector & 0xfffcu);
}

Fault load_task_ldt(CpuCore& core, u16 selector) {
  if ((selector & 0xfffc) == 0) return Fault::none();
  Descriptor d;
  LinearAddr address;
  if ((selector & 4) != 0) return invalid_tss(selector);
  if (Fault f = read_descriptor(core, selector, kVectorTs, d, address)) return f;
  if (!d.is_system() || d.type() != kSysLdt || !d.present()) return invalid_tss(selector);
  core.state.ldtr = unpack_segment(d, selector);
  return Fault::none();
}

Fault load_task_cs(CpuCore& core, u16 selector) {
  Descriptor d;
  LinearAddr address;
  if ((selector & 0xfffc) == 0) return invalid_tss(selector);
  if (Fault f = read_descriptor(core, selector, kVectorTs, d, address)) return f;
  const unsigned rpl = selector & 3u;
  const bool level_fits = d.conforming() ? d.dpl() <= rpl : d.dpl() == rpl;
  if (!d.is_code() || !level_fits) return invalid_tss(selector);
  if (!d.present()) return Fault::with_code(kVectorNp, selector & 0xfffcu);
  if (Fault f = set_accessed(core, d, address)) return f;
  core.state.segments[kCs] = unpack_segment(d, selector);
  return Fault::none();
}

Fault load_task_ss(CpuCore& core, u16 selector) {
  Segment ss;
  if (Fault f = load_inner_ss(core, selector, core.state.cpl(), ss)) return f;
  core.state.segments[kSs] = ss;
  return Fault::none();
}

Fault load_task_data(CpuCore& core, SegmentIndex index, u16 selector) {
  if ((selector & 0xfffc) == 0) return Fault::none();
  Fault fault = load_segment(core, index, selector);
  if (fault.vector == kVectorGp) fault.vector = kVectorTs;
  return fault;
}

Fault load_task_segments(CpuCore& core, const Image& image) {
  CpuState& state = core.state;
  if (Fault f = load_task_ldt(core, image.ldt)) return f;
  if (state.vm86()) {
    for (unsigned i = 0; i < kSegmentCount; ++i) {
      state.segments[i] = vm86_segment(image.segments[i]);
    }
    return Fault::none();
  }
  if (Fault f = load_task_cs(core, image.segments[kCs])) return f;
  if (Fault f = load_task_ss(core, image.segments[kSs])) return f;
  for (const SegmentIndex index : {kDs, kEs, kFs, kGs}) {
    if (Fault f = load_task_data(core, index, image.segments[index])) return f;
  }
  return Fault::none();
}

// The last steps, inside the incoming task.
Fault finish(CpuCore& core, const TaskSwitch& request, const NewTask& task) {
  CpuState& state = core.state;
  if (Fault f = load_task_segments(core, task.image)) return f;
  if (request.has_error_code) {
    StackFrame frame = StackFrame::current(core);
    if (Fault f = frame.push(request.error_code, task.layout.word())) return f;
    state.gpr[kRsp] = frame.rsp(state.gpr[kRsp]);
  }
  if (state.rip > state.segments[kCs].limit) return Fault::gp();
  return task.image.trap ? debug_fault(kDr6Bt) : Fault::none();
}

}  // namespace

Fault switch_task(CpuCore& core, const TaskSwitch& request) noexcept {
  CpuState& state = core.state;
  NewTask task;
  u64 pdptes[4] = {state.pdpte[0], state.pdpte[1], state.pdpte[2], state.pdpte[3]};
  if (Fault f = find_task(core, request, task)) return f;
  if (Fault f = probe_outgoing(core)) return f;
  if (Fault f = probe_incoming(core, request, task)) return f;
  if (Fault f = read_image(core, task)) return f;
  const bool pae_paging = (state.cr0 & kCr0Pg) != 0 && (state.cr4 & kCr4Pae) != 0;
  if (pae_paging && task.layout.wide) {
    if (Fault f = read_pdptes(core, task.image.cr3, pdptes)) return f;
  }
  if (Fault f = update_busy(core, request, task)) return f;
  if (Fault f = save_outgoing(core, request)) return f;
  const bool nests =
      request.cause == TaskSwitchCause::kCall || request.cause == TaskSwitchCause::kInterrupt;
  if (nests) {
    if (Fault f = write_tss(core, task.tr, 0, 2, state.tr.selector)) return f;
  }
  load_registers(core, request, task, pdptes);
  return finish(core, request, task);
}

}  // namespace emu
