// SPDX-License-Identifier: Apache-2.0
// Debug registers. Source: Intel SDM vol. 3 17.2.
#include "base/bits.h"
#include "cpu/debug_registers.h"

namespace emu {
namespace {

// R/W field of DR7.
enum class Kind : u8 { kExecute = 0, kWrite = 1, kIo = 2, kReadWrite = 3 };

constexpr unsigned kBreakpoints = 4;

bool is_enabled(u64 dr7, unsigned i) {
  return bits(dr7, i * 2, 2) != 0;
}

Kind kind_of(u64 dr7, unsigned i) {
  return static_cast<Kind>(bits(dr7, 16 + i * 4, 2));
}

// LEN field: 0, 1, 3 are 1, 2, 4 bytes; 2 is 8 bytes.
u64 length_of(u64 dr7, unsigned i) {
  const u64 field = bits(dr7, 18 + i * 4, 2);
  return field == 2 ? 8 : field + 1;
}

bool is_data(Kind kind) {
  return kind == Kind::kWrite || kind == Kind::kReadWrite;
}

bool overlaps(u64 a, u64 a_bytes, u64 b, u64 b_bytes) {
  return a < b + b_bytes && b < a + a_bytes;
}

// Collects the matching breakpoints of the kinds `wanted` accepts; nothing unless one is enabled.
template <class Wanted>
u64 match(const CpuState& state, u64 address, u64 size, Wanted wanted) {
  u64 hits = 0;
  bool enabled = false;
  for (unsigned i = 0; i < kBreakpoints; ++i) {
    if (!wanted(kind_of(state.dr7, i))) continue;
    const u64 length = length_of(state.dr7, i);
    if (!overlaps(address, size, align_down(state.dr[i], length), length)) continue;
    hits |= u64{1} << i;
    enabled |= is_enabled(state.dr7, i);
  }
  return enabled ? hits : 0;
}

template <class Wanted>
bool any_enabled(const CpuState& state, Wanted wanted) {
  for (unsigned i = 0; i < kBreakpoints; ++i) {
    if (is_enabled(state.dr7, i) && wanted(kind_of(state.dr7, i), i)) return true;
  }
  return false;
}

bool io_kind_means_io(const CpuState& state) {
  return (state.cr4 & kCr4De) != 0;
}

// Common checks of MOV to and from DRn; maps DR4/DR5 to DR6/DR7.
Fault check_access(const CpuState& state, unsigned& index) {
  if (index > 7) return Fault::ud();
  if (index == 4 || index == 5) {
    if ((state.cr4 & kCr4De) != 0) return Fault::ud();
    index += 2;
  }
  if (state.cpl() != 0) return Fault::gp();
  if ((state.dr7 & kDr7Gd) != 0) return debug_fault(kDr6Bd);
  return Fault::none();
}

}  // namespace

Fault read_debug_register(CpuCore& core, unsigned index, u64& value) noexcept {
  const CpuState& state = core.state;
  if (Fault f = check_access(state, index)) return f;
  value = index < 4 ? state.dr[index] : index == 6 ? state.dr6 : state.dr7;
  return Fault::none();
}

Fault write_debug_register(CpuCore& core, unsigned index, u64 value) noexcept {
  CpuState& state = core.state;
  if (Fault f = check_access(state, index)) return f;
  if (index >= 6 && (value >> 32) != 0) return Fault::gp();
  if (index < 4) {
    state.dr[index] = value;
  } else if (index == 6) {
    state.dr6 = (value & 0xe00f) | kDr6Fixed1;
  } else {
    state.dr7 = (value & 0xffff23ff) | kDr7Fixed1;
  }
  if (index != 6) core.effects |= kEffectBreakpoints;
  return Fault::none();
}

bool has_code_breakpoints(const CpuState& state) noexcept {
  return any_enabled(state, [](Kind kind, unsigned) { return kind == Kind::kExecute; });
}

bool has_data_breakpoints(const CpuState& state) noexcept {
  return any_enabled(state, [](Kind kind, unsigned) { return is_data(kind); });
}

bool has_io_breakpoints(const CpuState& state) noexcept {
  return io_kind_means_io(state) &&
         any_enabled(state, [](Kind kind, unsigned) { return kind == Kind::kIo; });
}

bool page_has_code_breakpoint(const CpuState& state, LinearAddr linear) noexcept {
  const u64 page = align_down(linear.value, kPageBytes);
  return any_enabled(state, [&](Kind kind, unsigned i) {
    return kind == Kind::kExecute && align_down(state.dr[i], kPageBytes) == page;
  });
}

bool page_has_data_breakpoint(const CpuState& state, LinearAddr linear) noexcept {
  const u64 page = align_down(linear.value, kPageBytes);
  return any_enabled(state, [&](Kind kind, unsigned i) {
    return is_data(kind) && align_down(state.dr[i], kPageBytes) == page;
  });
}

u64 match_code_breakpoint(const CpuState& state, LinearAddr linear) noexcept {
  return match(state, linear.value, 1, [](Kind kind) { return kind == Kind::kExecute; });
}

u64 match_data_breakpoint(const CpuState& state, LinearAddr linear, u64 size, bool write) noexcept {
  return match(state, linear.value, size, [write](Kind kind) {
    return kind == Kind::kReadWrite || (write && kind == Kind::kWrite);
  });
}

u64 match_io_breakpoint(const CpuState& state, u16 port, unsigned size) noexcept {
  if (!io_kind_means_io(state)) return 0;
  return match(state, port, size, [](Kind kind) { return kind == Kind::kIo; });
}

}  // namespace emu
