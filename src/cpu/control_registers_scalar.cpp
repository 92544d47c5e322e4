// SPDX-License-Identifier: Apache-2.0
// CR0, CR3, CR4, XCR0 and INVPCID. Source: Intel SDM vol. 3 2.5, 4.1.2, 4.10.4, 9.8.5; vol. 1 13.3.
#include "base/bits.h"
#include "cpu/control_registers.h"
#include "cpu/page_walk.h"
#include "cpu/segmentation.h"
#include "cpu/xsave_layout.h"

namespace emu {
namespace {

constexpr u64 kCr0Defined = kCr0Pe | kCr0Mp | kCr0Em | kCr0Ts | kCr0Et | kCr0Ne | kCr0Wp | kCr0Am |
                            kCr0Nw | kCr0Cd | kCr0Pg;
constexpr u64 kCr3NoFlush = u64{1} << 63;

bool uses_pdptes(u64 cr0, u64 cr4, u64 efer) {
  return (cr0 & kCr0Pg) != 0 && (cr4 & kCr4Pae) != 0 && (efer & kEferLma) == 0;
}

// EFER.LMA after a change of CR0.PG; #GP(0) if long mode may not be entered or left here.
Fault next_lma(const CpuState& state, u64 cr0, u64& efer) {
  const bool was_paging = (state.cr0 & kCr0Pg) != 0;
  const bool paging = (cr0 & kCr0Pg) != 0;
  efer = state.efer;
  if (was_paging == paging) return Fault::none();
  const bool code_long = (state.segments[kCs].attributes & kSegLong) != 0;
  if (!paging) {
    if (state.long_mode() && code_long) return Fault::gp();
    efer &= ~kEferLma;
    return Fault::none();
  }
  if ((state.efer & kEferLme) == 0) return Fault::none();
  const bool tss16 = (state.tr.attributes & kSegTypeMask) == kSysTss16Busy;
  if ((state.cr4 & kCr4Pae) == 0 || code_long || tss16) return Fault::gp();
  efer |= kEferLma;
  return Fault::none();
}

Fault check_cr0(const CpuState& state, u64 value) {
  if ((value >> 32) != 0) return Fault::gp();
  const bool paging = (value & kCr0Pg) != 0;
  if (paging && (value & kCr0Pe) == 0) return Fault::gp();
  if ((value & kCr0Nw) != 0 && (value & kCr0Cd) == 0) return Fault::gp();
  if (!paging && (state.cr4 & kCr4Pcide) != 0) return Fault::gp();
  return Fault::none();
}

Fault write_cr0(CpuCore& core, u64 value) {
  CpuState& state = core.state;
  if (Fault f = check_cr0(state, value)) return f;
  const u64 cr0 = (value & kCr0Defined) | kCr0Et;
  u64 efer = 0;
  if (Fault f = next_lma(state, cr0, efer)) return f;
  const u64 changed = cr0 ^ state.cr0;
  if (uses_pdptes(cr0, state.cr4, efer) && (changed & (kCr0Pg | kCr0Cd | kCr0Nw)) != 0) {
    if (Fault f = read_pdptes(core, state.cr3, state.pdpte)) return f;
  }
  if ((changed & (kCr0Pg | kCr0Pe)) != 0) core.effects |= kEffectFlushAll | kEffectPagingMode;
  if ((changed & kCr0Wp) != 0) core.effects |= kEffectPagingMode;
  state.cr0 = cr0;
  state.efer = efer;
  return Fault::none();
}

Fault write_cr3(CpuCore& core, u64 value) {
  CpuState& state = core.state;
  const bool pcids = (state.cr4 & kCr4Pcide) != 0;
  const bool no_flush = pcids && (value & kCr3NoFlush) != 0;
  if (no_flush) value &= ~kCr3NoFlush;
  if (state.long_mode() && (value & ~low_mask(core.features.phys_bits)) != 0) return Fault::gp();
  if (!state.long_mode()) value &= 0xffffffff;
  if (uses_pdptes(state.cr0, state.cr4, state.efer)) {
    if (Fault f = read_pdptes(core, value, state.pdpte)) return f;
  }
  state.cr3 = value;
  core.paging_cache.flush();
  core.effects |= kEffectAddressSpace;
  if (!no_flush) core.effects |= pcids ? kEffectFlushPcid : kEffectFlushNonGlobal;
  return Fault::none();
}

Fault check_cr4(const CpuCore& core, u64 value) {
  const CpuState& state = core.state;
  if ((value & ~core.features.cr4_allowed) != 0) return Fault::gp();
  if (state.long_mode() && (value & kCr4Pae) == 0) return Fault::gp();
  const bool pcid_set = (value & ~state.cr4 & kCr4Pcide) != 0;
  if (pcid_set && (!state.long_mode() || (state.cr3 & 0xfff) != 0)) return Fault::gp();
  return Fault::none();
}

Fault write_cr4(CpuCore& core, u64 value) {
  CpuState& state = core.state;
  if (Fault f = check_cr4(core, value)) return f;
  const u64 changed = value ^ state.cr4;
  constexpr u64 kReloads = kCr4Pae | kCr4Pge | kCr4Pse | kCr4Smep;
  if (uses_pdptes(state.cr0, value, state.efer) && (changed & kReloads) != 0) {
    if (Fault f = read_pdptes(core, state.cr3, state.pdpte)) return f;
  }
  constexpr u64 kFlushing = kCr4Pae | kCr4Pge | kCr4Pse | kCr4Pcide;
  if ((changed & kFlushing) != 0) core.effects |= kEffectFlushAll;
  constexpr u64 kRights = kCr4Pae | kCr4Pse | kCr4Smep | kCr4Smap | kCr4Pke;
  if ((changed & kRights) != 0) core.effects |= kEffectPagingMode;
  if ((changed & kCr4De) != 0) core.effects |= kEffectBreakpoints;
  state.cr4 = value;
  return Fault::none();
}

bool valid_xcr0(u64 value, u64 allowed) {
  if ((value & kXcr0X87) == 0 || (value & ~allowed) != 0) return false;
  if ((value & kXcr0Avx) != 0 && (value & kXcr0Sse) == 0) return false;
  const u64 avx512 = value & kXcr0Avx512;
  return avx512 == 0 || (avx512 == kXcr0Avx512 && (value & kXcr0Avx) != 0);
}

}  // namespace

Fault check_privileged(const CpuState& state) noexcept {
  return state.cpl() == 0 ? Fault::none() : Fault::gp();
}

Fault read_control_register(CpuCore& core, unsigned index, u64& value) noexcept {
  const CpuState& state = core.state;
  if (index == 1 || index > 4) return Fault::ud();
  if (Fault f = check_privileged(state)) return f;
  value = index == 0 ? state.cr0 : index == 2 ? state.cr2 : index == 3 ? state.cr3 : state.cr4;
  return Fault::none();
}

Fault write_control_register(CpuCore& core, unsigned index, u64 value) noexcept {
  if (index == 1 || index > 4) return Fault::ud();
  if (Fault f = check_privileged(core.state)) return f;
  switch (index) {
    case 0:
      return write_cr0(core, value);
    case 3:
      return write_cr3(core, value);
    case 4:
      return write_cr4(core, value);
    default:
      core.state.cr2 = value;
      return Fault::none();
  }
}

Fault check_cr8_write(CpuCore& core, u64 value) noexcept {
  if (Fault f = check_privileged(core.state)) return f;
  return value > 15 ? Fault::gp() : Fault::none();
}

Fault load_machine_status_word(CpuCore& core, u16 value) noexcept {
  if (Fault f = check_privileged(core.state)) return f;
  const u64 kept = core.state.cr0 & ~u64{kCr0Mp | kCr0Em | kCr0Ts};
  return write_cr0(core, kept | (value & (kCr0Pe | kCr0Mp | kCr0Em | kCr0Ts)));
}

Fault store_machine_status_word(CpuCore& core, unsigned operand_bytes, u64& value) noexcept {
  if (Fault f = check_umip(core.state)) return f;
  value = core.state.cr0 & byte_mask(operand_bytes);
  return Fault::none();
}

Fault clear_task_switched(CpuCore& core) noexcept {
  if (Fault f = check_privileged(core.state)) return f;
  core.state.cr0 &= ~kCr0Ts;
  return Fault::none();
}

Fault read_xcr(CpuCore& core, u32 index, u64 in_use, u64& value) noexcept {
  const CpuState& state = core.state;
  if ((state.cr4 & kCr4Osxsave) == 0) return Fault::ud();
  if (index > 1) return Fault::gp();
  value = index == 0 ? state.xcr0 : state.xcr0 & in_use;
  return Fault::none();
}

Fault write_xcr(CpuCore& core, u32 index, u64 value) noexcept {
  if ((core.state.cr4 & kCr4Osxsave) == 0) return Fault::ud();
  if (Fault f = check_privileged(core.state)) return f;
  if (index != 0 || !valid_xcr0(value, core.features.xcr0_allowed)) return Fault::gp();
  core.state.xcr0 = value;
  core.effects |= kEffectXcr0;
  return Fault::none();
}

Fault invalidate_pcid(CpuCore& core, u64 type, u64 descriptor_low, u64 descriptor_high) noexcept {
  if (Fault f = check_privileged(core.state)) return f;
  if (type > 3) return Fault::gp();
  core.paging_cache.flush();
  const bool pcids = (core.state.cr4 & kCr4Pcide) != 0;
  if (type <= 1) {
    if ((descriptor_low & ~u64{0xfff}) != 0) return Fault::gp();
    if (!pcids && descriptor_low != 0) return Fault::gp();
    if (type == 0 && !is_canonical(descriptor_high)) return Fault::gp();
    core.flush_pcid = static_cast<u16>(descriptor_low);
    core.flush_page = LinearAddr{descriptor_high};
    core.effects |= type == 0 ? kEffectFlushPage : kEffectFlushOnePcid;
    return Fault::none();
  }
  core.effects |= type == 2 ? kEffectFlushAll : kEffectFlushNonGlobal;
  return Fault::none();
}

}  // namespace emu
