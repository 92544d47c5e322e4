// SPDX-License-Identifier: Apache-2.0
// Descriptor fetches, segment-register loads and limit checks.
// Source: Intel SDM vol. 3 ch. 3, 5; vol. 2 MOV, LLDT, LTR.
#include "base/bits.h"
#include "cpu/page_walk.h"
#include "cpu/segmentation.h"

namespace emu {
namespace {

constexpr u16 kSelectorTi = 4;

u32 selector_code(u16 selector) {
  return selector & 0xfffcu;
}

bool is_null(u16 selector) {
  return (selector & 0xfffc) == 0;
}

// Where `bytes` of the descriptor lie; false if beyond the table's limit.
bool locate(const CpuState& state, u16 selector, unsigned bytes, LinearAddr& address) {
  const u32 offset = selector & 0xfff8u;
  const bool local = (selector & kSelectorTi) != 0;
  if (local && !state.ldtr.usable()) return false;
  const u32 limit = local ? state.ldtr.limit : state.gdtr.limit;
  if (u64{offset} + bytes - 1 > limit) return false;
  const u64 linear = (local ? state.ldtr.base : state.gdtr.base) + offset;
  address = LinearAddr{state.long_mode() ? linear : linear & 0xffffffff};
  return true;
}

// ORs `mask` into byte 5 of a descriptor. Gives up after a few lost races: then another processor
// has just rewritten the descriptor, or it lies in ROM.
Fault set_type_bits(CpuCore& core, Descriptor& descriptor, LinearAddr address, u8 mask) {
  const LinearAddr byte_address = address + 5;
  for (unsigned attempt = 0; attempt < 8; ++attempt) {
    const u64 old = bits(descriptor.low, 40, 8);
    bool swapped = false;
    if (Fault f = core.memory.compare_exchange(byte_address, 1, old, old | mask, swapped)) {
      return f;
    }
    if (swapped) break;
    u64 now = 0;
    if (Fault f = core.memory.read(byte_address, 1, now, Privilege::kSupervisor)) return f;
    descriptor.low = (descriptor.low & ~(u64{0xff} << 40)) | (now << 40);
  }
  descriptor.low |= u64{mask} << 40;
  return Fault::none();
}

Segment reload_real(const Segment& old, u16 selector) {
  Segment segment;
  segment.selector = selector;
  segment.base = u64{selector} << 4;
  // Limit and size survive a real-mode load ("unreal mode"); rights become those of real mode.
  segment.limit = old.usable() ? old.limit : 0xffff;
  segment.attributes = static_cast<u16>((old.attributes & (kSegBig | kSegGranularity)) | 0x93);
  return segment;
}

Fault load_null(CpuCore& core, SegmentIndex index, u16 selector) {
  CpuState& state = core.state;
  unsigned dpl = 0;
  if (index == kSs) {
    dpl = state.cpl();
    if (!state.code64() || dpl == 3 || (selector & 3u) != dpl) return Fault::gp();
  }
  state.segments[index] = null_segment(selector, dpl);
  return Fault::none();
}

Fault check_stack_descriptor(const Descriptor& d, u16 selector, unsigned cpl) {
  const u32 code = selector_code(selector);
  if ((selector & 3u) != cpl || !d.is_data() || !bit(d.low, 41) || d.dpl() != cpl) {
    return Fault::gp(code);
  }
  if (!d.present()) return Fault::with_code(kVectorSs, code);
  return Fault::none();
}

Fault check_data_descriptor(const Descriptor& d, u16 selector, unsigned cpl) {
  const u32 code = selector_code(selector);
  if (d.is_system() || (d.is_code() && !bit(d.low, 41))) return Fault::gp(code);
  const unsigned rpl = selector & 3u;
  const bool conforming_code = d.is_code() && d.conforming();
  if (!conforming_code && (rpl > d.dpl() || cpl > d.dpl())) return Fault::gp(code);
  if (!d.present()) return Fault::with_code(kVectorNp, code);
  return Fault::none();
}

Fault check_table_load(const CpuState& state) {
  if (!state.protected_mode() || state.vm86()) return Fault::ud();
  return state.cpl() == 0 ? Fault::none() : Fault::gp();
}

Segment unpack_system(const CpuState& state, const Descriptor& d, u16 selector) {
  Segment segment = unpack_segment(d, selector);
  if (state.long_mode()) segment.base = d.base64();
  return segment;
}

}  // namespace

Segment unpack_segment(const Descriptor& descriptor, u16 selector) noexcept {
  Segment segment;
  segment.selector = selector;
  segment.base = descriptor.base32();
  segment.limit = descriptor.limit();
  segment.attributes = descriptor.attributes();
  return segment;
}

Segment real_mode_segment(u16 selector) noexcept {
  return {u64{selector} << 4, 0xffff, selector, 0x93};
}

Segment vm86_segment(u16 selector) noexcept {
  return {u64{selector} << 4, 0xffff, selector, 0xf3};
}

Segment null_segment(u16 selector, unsigned dpl) noexcept {
  return {0, 0, selector, static_cast<u16>(kSegUnusable | (dpl << kSegDplShift))};
}

Fault read_descriptor(CpuCore& core, u16 selector, Vector vector, Descriptor& out,
                      LinearAddr& address) noexcept {
  out = {};
  if (!locate(core.state, selector, 8, address)) {
    return Fault::with_code(vector, selector_code(selector));
  }
  return core.memory.read(address, 8, out.low, Privilege::kSupervisor);
}

Fault read_system_descriptor(CpuCore& core, u16 selector, Vector vector, Descriptor& out,
                             LinearAddr& address) noexcept {
  if (!core.state.long_mode()) return read_descriptor(core, selector, vector, out, address);
  out = {};
  const Fault bad = Fault::with_code(vector, selector_code(selector));
  if (!locate(core.state, selector, 16, address)) return bad;
  if (Fault f = core.memory.read(address, 8, out.low, Privilege::kSupervisor)) return f;
  if (Fault f = core.memory.read(address + 8, 8, out.high, Privilege::kSupervisor)) return f;
  return bits(out.high, 40, 5) == 0 ? Fault::none() : bad;
}

Fault set_accessed(CpuCore& core, Descriptor& descriptor, LinearAddr address) noexcept {
  if (bit(descriptor.low, 40)) return Fault::none();
  return set_type_bits(core, descriptor, address, 1);
}

Fault load_segment(CpuCore& core, SegmentIndex index, u16 selector) noexcept {
  CpuState& state = core.state;
  if (!state.protected_mode()) {
    state.segments[index] = reload_real(state.segments[index], selector);
    return Fault::none();
  }
  if (state.vm86()) {
    state.segments[index] = vm86_segment(selector);
    return Fault::none();
  }
  if (is_null(selector)) return load_null(core, index, selector);
  Descriptor d;
  LinearAddr address;
  if (Fault f = read_descriptor(core, selector, kVectorGp, d, address)) return f;
  const Fault check = index == kSs ? check_stack_descriptor(d, selector, state.cpl())
                                   : check_data_descriptor(d, selector, state.cpl());
  if (check) return check;
  if (Fault f = set_accessed(core, d, address)) return f;
  state.segments[index] = unpack_segment(d, selector);
  return Fault::none();
}

Fault load_ldtr(CpuCore& core, u16 selector) noexcept {
  CpuState& state = core.state;
  if (Fault f = check_table_load(state)) return f;
  if (is_null(selector)) {
    state.ldtr = null_segment(selector, 0);
    return Fault::none();
  }
  const u32 code = selector_code(selector);
  if ((selector & kSelectorTi) != 0) return Fault::gp(code);
  Descriptor d;
  LinearAddr address;
  if (Fault f = read_system_descriptor(core, selector, kVectorGp, d, address)) return f;
  if (!d.is_system() || d.type() != kSysLdt) return Fault::gp(code);
  if (!d.present()) return Fault::with_code(kVectorNp, code);
  if (state.long_mode() && !is_canonical(d.base64())) return Fault::gp(code);
  state.ldtr = unpack_system(state, d, selector);
  return Fault::none();
}

Fault load_tr(CpuCore& core, u16 selector) noexcept {
  CpuState& state = core.state;
  if (Fault f = check_table_load(state)) return f;
  if (is_null(selector)) return Fault::gp();
  const u32 code = selector_code(selector);
  if ((selector & kSelectorTi) != 0) return Fault::gp(code);
  Descriptor d;
  LinearAddr address;
  if (Fault f = read_system_descriptor(core, selector, kVectorGp, d, address)) return f;
  const bool available = d.type() == kSysTss || (d.type() == kSysTss16 && !state.long_mode());
  if (!d.is_system() || !available) return Fault::gp(code);
  if (!d.present()) return Fault::with_code(kVectorNp, code);
  if (state.long_mode() && !is_canonical(d.base64())) return Fault::gp(code);
  if (Fault f = set_type_bits(core, d, address, 2)) return f;
  state.tr = unpack_system(state, d, selector);
  return Fault::none();
}

bool segment_allows(const Segment& segment, bool write) noexcept {
  if (!segment.usable()) return false;
  if ((segment.attributes & kSegCode) != 0) {
    return !write && (segment.attributes & kSegReadable) != 0;
  }
  return !write || (segment.attributes & kSegWritable) != 0;
}

void segment_range(const Segment& segment, u64& low, u64& high) noexcept {
  const bool expand_down = (segment.attributes & (kSegCode | kSegExpandDown)) == kSegExpandDown;
  if (!expand_down) {
    low = 0;
    high = segment.limit;
    return;
  }
  low = u64{segment.limit} + 1;
  high = (segment.attributes & kSegBig) != 0 ? 0xffffffff : 0xffff;
}

LinearAddr segment_linear(const CpuState& state, SegmentIndex index, u64 offset) noexcept {
  const u64 base = state.segments[index].base;
  if (!state.code64()) return LinearAddr{(base + offset) & 0xffffffff};
  return LinearAddr{index == kFs || index == kGs ? base + offset : offset};
}

// A deviation from hardware, which faults here: in real mode, offsets no real-mode program can mean
// otherwise (1 MiB and more) are let past a 64 KiB limit. Option ROMs count on "big real mode"
// (SeaBIOS's VGA BIOS reads the EDID in the card's memory), and boot firmware that calls them
// without it (U-Boot 2023.01) is tested with QEMU's translator only, which checks no limits.
bool reaches_as_big_real_mode(const CpuState& state, u64 offset, unsigned size) noexcept {
  constexpr u64 kRealModeEnd = 1 << 20;
  return !state.protected_mode() && offset >= kRealModeEnd && offset + size - 1 <= 0xffffffff;
}

Fault check_segment_access(const CpuState& state, SegmentIndex index, u64 offset, unsigned size,
                           bool write) noexcept {
  const Fault denied = Fault::with_code(index == kSs ? kVectorSs : kVectorGp, 0);
  if (state.code64()) {
    const u64 first = segment_linear(state, index, offset).value;
    return is_canonical(first) && is_canonical(first + size - 1) ? Fault::none() : denied;
  }
  const Segment& segment = state.segments[index];
  if (!segment_allows(segment, write)) return denied;
  u64 low = 0;
  u64 high = 0;
  segment_range(segment, low, high);
  if (offset >= low && offset + size - 1 <= high) return Fault::none();
  return reaches_as_big_real_mode(state, offset, size) ? Fault::none() : denied;
}

}  // namespace emu
