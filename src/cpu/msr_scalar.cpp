// SPDX-License-Identifier: Apache-2.0
// RDMSR and WRMSR of everything in CpuState.
// Source: Intel SDM vol. 4 ch. 2; vol. 3 11.11, 11.12, 15.3, 17.17.
#include "base/bits.h"
#include "cpu/msr.h"
#include "cpu/page_walk.h"
#include "cpu/pv_clock_spec.h"

namespace emu {
namespace {

constexpr unsigned kVariableRanges = 8;
constexpr unsigned kMcBanks = 10;
constexpr u64 kMtrrCapValue = kVariableRanges | 1u << 8 | 1u << 10;  // fixed ranges, WC
constexpr u64 kMcgCapValue = kMcBanks | 1u << 8;                     // IA32_MCG_CTL exists
// Stored; what they switch (fast strings, thermal control, CPUID limit, TPR messages, XD) is not
// modelled.
constexpr u64 kMiscEnableWritable =
    1u << 0 | 1u << 3 | 1u << 7 | 1u << 16 | 1u << 18 | 1u << 22 | 1u << 23 | u64{1} << 34;
constexpr u64 kDebugctlWritable = 3;  // LBR (stored, not modelled) and BTF

bool in_range(u32 index, u32 first, u32 count) {
  return index - first < count;
}

// 0, 1, 4, 5, 6 are memory types; 7 (UC-) exists in the PAT only.
bool is_memory_type(u64 type, bool pat) {
  return type == 0 || type == 1 || (type >= 4 && type <= (pat ? 7 : 6));
}

bool all_memory_types(u64 value, bool pat) {
  for (unsigned i = 0; i < 8; ++i) {
    if (!is_memory_type(bits(value, i * 8, 8), pat)) return false;
  }
  return true;
}

// The slot of an MTRR, or null.
u64* mtrr_slot(CpuState& state, u32 index) {
  if (in_range(index, kMsrMtrrPhysBase0, kVariableRanges * 2)) {
    return &state.mtrr_variable[index - kMsrMtrrPhysBase0];
  }
  if (index == kMsrMtrrDefType) return &state.mtrr_def_type;
  if (index == kMsrMtrrFix64k00000) return &state.mtrr_fixed[0];
  if (in_range(index, kMsrMtrrFix16k80000, 2)) {
    return &state.mtrr_fixed[1 + index - kMsrMtrrFix16k80000];
  }
  if (in_range(index, kMsrMtrrFix4kC0000, 8)) {
    return &state.mtrr_fixed[3 + index - kMsrMtrrFix4kC0000];
  }
  return nullptr;
}

// The slots that only a 64-bit processor has, or null.
u64* long_mode_slot(CpuState& state, u32 index) {
  switch (index) {
    case kMsrStar:
      return &state.star;
    case kMsrLstar:
      return &state.lstar;
    case kMsrCstar:
      return &state.cstar;
    case kMsrSfmask:
      return &state.sfmask;
    case kMsrFsBase:
      return &state.segments[kFs].base;
    case kMsrGsBase:
      return &state.segments[kGs].base;
    case kMsrKernelGsBase:
      return &state.kernel_gs_base;
    default:
      return nullptr;
  }
}

// The slot of an MSR this model has and whose reads return what was written; null for others.
u64* slot(CpuCore& core, u32 index) {
  CpuState& state = core.state;
  const CpuFeatures& features = core.features;
  if (u64* p = long_mode_slot(state, index)) return features.long_mode ? p : nullptr;
  if (u64* p = mtrr_slot(state, index)) return features.mtrr ? p : nullptr;
  if (in_range(index, kMsrMc0Ctl, kMcBanks * 4)) return &state.mc_banks[index - kMsrMc0Ctl];
  switch (index) {
    case kMsrTscAdjust:
      return features.tsc_adjust ? &state.tsc_adjust : nullptr;
    case kMsrSpecCtrl:
      return features.spec_ctrl_allowed != 0 ? &state.spec_ctrl : nullptr;
    case kMsrSysenterCs:
      return features.sysenter ? &state.sysenter_cs : nullptr;
    case kMsrSysenterEsp:
      return features.sysenter ? &state.sysenter_esp : nullptr;
    case kMsrSysenterEip:
      return features.sysenter ? &state.sysenter_eip : nullptr;
    case kMsrMcgStatus:
      return &state.mcg_status;
    case kMsrMcgCtl:
      return &state.mcg_ctl;
    case kMsrMiscEnable:
      return &state.misc_enable;
    case kMsrDebugctl:
      return &state.debugctl;
    case kMsrPat:
      return features.pat ? &state.pat : nullptr;
    case kMsrXss:
      return features.xcr0_allowed != 0 ? &state.xss : nullptr;
    case kMsrEfer:
      return features.efer_allowed != 0 ? &state.efer : nullptr;
    case kMsrTscAux:
      return features.rdtscp ? &state.tsc_aux : nullptr;
    default:
      return nullptr;
  }
}

// MSRs with a fixed answer; false for others.
bool constant_msr(const CpuCore& core, u32 index, u64& value) {
  switch (index) {
    case kMsrPlatformId:
    case kMsrPlatformInfo:
    case kMsrMiscFeaturesEnables:
    case 0x2a:   // EBL_CR_POWERON
    case 0x1db:  // LASTBRANCHFROMIP and its three neighbours: never recorded
    case 0x1dc:
    case 0x1dd:
    case 0x1de:
      value = 0;
      return true;
    case kMsrFeatureControl:
      value = 1;  // locked, VMX off
      return true;
    case kMsrBiosSignature:
      value = u64{0xffff} << 32;  // so new that no update applies
      return true;
    case kMsrMtrrCap:
      value = kMtrrCapValue;
      return core.features.mtrr;
    case kMsrArchCapabilities:
      value = core.features.arch_capabilities;
      return core.features.arch_capabilities_msr;
    case kMsrMcgCap:
      value = kMcgCapValue;
      return true;
    case kMsrSmbase:
      value = core.state.smbase;
      return core.state.smm;
    default:
      return false;
  }
}

bool valid_mtrr(const CpuCore& core, u32 index, u64 value) {
  const u64 address_bits = low_mask(core.features.phys_bits) & ~u64{0xfff};
  if (in_range(index, kMsrMtrrPhysBase0, kVariableRanges * 2)) {
    const bool is_mask = (index & 1) != 0;
    if (is_mask) return (value & ~(address_bits | 0x800)) == 0;
    return (value & ~(address_bits | 0xff)) == 0 && is_memory_type(value & 0xff, false);
  }
  if (index == kMsrMtrrDefType) {
    return (value & ~u64{0xcff}) == 0 && is_memory_type(value & 0xff, false);
  }
  return all_memory_types(value, false);
}

// EFER (SDM vol. 3 2.2.1): LME only changes with paging off; LMA is the processor's.
bool valid_efer(const CpuCore& core, u64 value) {
  const u64 old = core.state.efer;
  if ((value & ~(core.features.efer_allowed | kEferLma)) != 0) return false;
  const bool paging = (core.state.cr0 & kCr0Pg) != 0;
  return !paging || ((value ^ old) & kEferLme) == 0;
}

// Whether WRMSR accepts `value` for an MSR that has a slot.
bool valid_value(const CpuCore& core, u32 index, u64 value) {
  const CpuState& state = core.state;
  switch (index) {
    case kMsrLstar:
    case kMsrCstar:
    case kMsrFsBase:
    case kMsrGsBase:
    case kMsrKernelGsBase:
    case kMsrSysenterEsp:
    case kMsrSysenterEip:
      return is_canonical(value);
    case kMsrSfmask:
    case kMsrTscAux:
      return (value >> 32) == 0;
    case kMsrSpecCtrl:
      return (value & ~core.features.spec_ctrl_allowed) == 0;
    case kMsrMiscEnable:
      return ((value ^ state.misc_enable) & ~kMiscEnableWritable) == 0;
    case kMsrDebugctl:
      return (value & ~kDebugctlWritable) == 0;
    case kMsrPat:
      return all_memory_types(value, true);
    case kMsrXss:
      return (value & ~core.features.xss_allowed) == 0;
    case kMsrEfer:
      return valid_efer(core, value);
    case kMsrMcgStatus:
      return (value & ~u64{7}) == 0;
    default:
      break;
  }
  if (in_range(index, kMsrMc0Ctl, kMcBanks * 4)) return (index & 3) == 0 || value == 0;
  if (in_range(index, kMsrMtrrPhysBase0, 0x100)) return valid_mtrr(core, index, value);
  return true;
}

// MSRs that take commands or constants instead of being stored; false for others.
bool write_command(const CpuCore& core, u32 index, u64 value) {
  switch (index) {
    case kMsrBiosUpdateTrigger:
      return true;  // no update is ever applied
    case kMsrBiosSignature:
    case kMsrMiscFeaturesEnables:
    case 0x2a:
      return value == 0;
    case kMsrPredCmd:
      return core.features.pred_cmd && (value & ~u64{1}) == 0;
    case kMsrFlushCmd:
      return core.features.flush_cmd && (value & ~u64{1}) == 0;
    default:
      return false;
  }
}

void write_efer(CpuCore& core, u64 value) {
  u64& efer = core.state.efer;
  value = (value & ~kEferLma) | (efer & kEferLma);
  if (((value ^ efer) & kEferNxe) != 0) core.effects |= kEffectPagingMode;
  efer = value;
}

void store(CpuCore& core, u32 index, u64* where, u64 value) {
  if (index == kMsrEfer) {
    write_efer(core, value);
    return;
  }
  if (index == kMsrTscAdjust) {
    core.state.tsc_offset += value - core.state.tsc_adjust;
    core.effects |= kEffectTsc;
  }
  if (index == kMsrPat || in_range(index, kMsrMtrrPhysBase0, 0x100)) {
    core.effects |= kEffectMemoryTypes;
  }
  *where = value;
}

}  // namespace

bool is_bus_msr(u32 index) noexcept {
  return index == kMsrApicBase || index == kMsrTscDeadline || index == kMsrPvSystemTime ||
         index == kMsrPvWallClock ||
         in_range(index, kMsrX2apicFirst, kMsrX2apicLast - kMsrX2apicFirst + 1);
}

Fault read_msr(CpuCore& core, u32 index, u64 engine_tsc, u64& value) noexcept {
  if (core.state.cpl() != 0) return Fault::gp();
  if (index == kMsrTsc) {
    value = guest_tsc(core.state, engine_tsc);
    return Fault::none();
  }
  if (const u64* where = slot(core, index)) {
    value = *where;
    return Fault::none();
  }
  return constant_msr(core, index, value) ? Fault::none() : Fault::gp();
}

Fault write_msr(CpuCore& core, u32 index, u64 engine_tsc, u64 value) noexcept {
  CpuState& state = core.state;
  if (state.cpl() != 0) return Fault::gp();
  if (index == kMsrTsc) {
    const u64 delta = value - guest_tsc(state, engine_tsc);
    state.tsc_offset += delta;
    state.tsc_adjust += delta;
    core.effects |= kEffectTsc;
    return Fault::none();
  }
  if (u64* where = slot(core, index)) {
    if (!valid_value(core, index, value)) return Fault::gp();
    store(core, index, where, value);
    return Fault::none();
  }
  return write_command(core, index, value) ? Fault::none() : Fault::gp();
}

}  // namespace emu
