// SPDX-License-Identifier: Apache-2.0
// LAR, LSL, VERR and VERW: descriptor questions that answer with ZF instead of faulting.
// Source: Intel SDM vol. 2 (each instruction), tables 3-52 and 3-67.
#include "base/bits.h"
#include "cpu/segmentation.h"

namespace emu {
namespace {

// System types each instruction accepts, as a bit set by type, outside and inside long mode.
constexpr u32 kLarTypes =
    1u << 1 | 1u << 2 | 1u << 3 | 1u << 4 | 1u << 5 | 1u << 9 | 1u << 11 | 1u << 12;
constexpr u32 kLarTypesLong = 1u << 2 | 1u << 9 | 1u << 11 | 1u << 12;
constexpr u32 kLslTypes = 1u << 1 | 1u << 2 | 1u << 3 | 1u << 9 | 1u << 11;
constexpr u32 kLslTypesLong = 1u << 2 | 1u << 9 | 1u << 11;

// Reads the descriptor if the selector names one the current privilege may see. `valid` says so;
// only #UD and #PF are faults.
Fault visible_descriptor(CpuCore& core, u16 selector, u32 system_types, Descriptor& d,
                         bool& valid) {
  const CpuState& state = core.state;
  valid = false;
  if (!state.protected_mode() || state.vm86()) return Fault::ud();
  if ((selector & 0xfffc) == 0) return Fault::none();
  LinearAddr address;
  if (Fault f = read_descriptor(core, selector, kVectorGp, d, address)) {
    return f.vector == kVectorPf ? f : Fault::none();
  }
  if (d.is_system()) {
    if (!bit(system_types, d.type())) return Fault::none();
    if (Fault f = read_system_descriptor(core, selector, kVectorGp, d, address)) {
      return f.vector == kVectorPf ? f : Fault::none();
    }
  }
  const unsigned rpl = selector & 3u;
  const bool free_for_all = d.is_code() && d.conforming();
  valid = free_for_all || (state.cpl() <= d.dpl() && rpl <= d.dpl());
  return Fault::none();
}

}  // namespace

Fault load_access_rights(CpuCore& core, u16 selector, bool& valid, u32& value) noexcept {
  Descriptor d;
  const u32 types = core.state.long_mode() ? kLarTypesLong : kLarTypes;
  if (Fault f = visible_descriptor(core, selector, types, d, valid)) return f;
  if (valid) value = static_cast<u32>(d.low >> 32) & 0x00f0ff00;
  return Fault::none();
}

Fault load_limit(CpuCore& core, u16 selector, bool& valid, u32& value) noexcept {
  Descriptor d;
  const u32 types = core.state.long_mode() ? kLslTypesLong : kLslTypes;
  if (Fault f = visible_descriptor(core, selector, types, d, valid)) return f;
  if (valid) value = d.limit();
  return Fault::none();
}

Fault verify_segment(CpuCore& core, u16 selector, bool write, bool& ok) noexcept {
  Descriptor d;
  if (Fault f = visible_descriptor(core, selector, 0, d, ok)) return f;
  if (!ok) return Fault::none();
  const bool bit_rw = bit(d.low, 41);  // readable code, writable data
  ok = write ? d.is_data() && bit_rw : d.is_data() || bit_rw;
  return Fault::none();
}

}  // namespace emu
