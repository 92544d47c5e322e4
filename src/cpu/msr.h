// SPDX-License-Identifier: Apache-2.0
// RDMSR and WRMSR.
// Source: Intel SDM vol. 4; vol. 3 11.11 (MTRR), 11.12 (PAT), 17.17 (TSC), 15.3 (machine check).
// Not modelled: performance counters, thermal and power MSRs (they raise #GP as on a part without).
#pragma once

#include "cpu/cpu_core.h"

namespace emu {

// MSR numbers (SDM vol. 4 table 2-2).
enum MsrIndex : u32 {
  kMsrTsc = 0x10,
  kMsrPlatformId = 0x17,
  kMsrApicBase = 0x1b,
  kMsrFeatureControl = 0x3a,
  kMsrTscAdjust = 0x3b,
  kMsrSpecCtrl = 0x48,
  kMsrPredCmd = 0x49,
  kMsrBiosUpdateTrigger = 0x79,
  kMsrBiosSignature = 0x8b,
  kMsrSmbase = 0x9e,
  kMsrPlatformInfo = 0xce,
  kMsrMtrrCap = 0xfe,
  kMsrArchCapabilities = 0x10a,
  kMsrFlushCmd = 0x10b,
  kMsrSysenterCs = 0x174,
  kMsrSysenterEsp = 0x175,
  kMsrSysenterEip = 0x176,
  kMsrMcgCap = 0x179,
  kMsrMcgStatus = 0x17a,
  kMsrMcgCtl = 0x17b,
  kMsrMiscFeaturesEnables = 0x140,
  kMsrMiscEnable = 0x1a0,
  kMsrDebugctl = 0x1d9,
  kMsrMtrrPhysBase0 = 0x200,
  kMsrMtrrFix64k00000 = 0x250,
  kMsrMtrrFix16k80000 = 0x258,
  kMsrMtrrFix16kA0000 = 0x259,
  kMsrMtrrFix4kC0000 = 0x268,
  kMsrPat = 0x277,
  kMsrMtrrDefType = 0x2ff,
  kMsrMc0Ctl = 0x400,
  kMsrTscDeadline = 0x6e0,
  kMsrX2apicFirst = 0x800,
  kMsrX2apicLast = 0x8ff,
  kMsrXss = 0xda0,
  kMsrEfer = 0xc0000080,
  kMsrStar = 0xc0000081,
  kMsrLstar = 0xc0000082,
  kMsrCstar = 0xc0000083,
  kMsrSfmask = 0xc0000084,
  kMsrFsBase = 0xc0000100,
  kMsrGsBase = 0xc0000101,
  kMsrKernelGsBase = 0xc0000102,
  kMsrTscAux = 0xc0000103,
};

// Whether an MSR lives outside the core (APIC base, x2APIC, TSC deadline): the engine checks
// privilege with check_privileged() and asks CpuBus::read_msr / write_msr; nothing or false is
// #GP(0).
[[nodiscard]] bool is_bus_msr(u32 index) noexcept;

// RDMSR of a core MSR. `engine_tsc` is the engine's TSC of VM time. #GP(0) for CPL or an unknown
// MSR.
Fault read_msr(CpuCore& core, u32 index, u64 engine_tsc, u64& value) noexcept;
// WRMSR of a core MSR: validates, sets effects. #GP(0) for CPL, unknown MSRs, reserved bits,
// non-canonical addresses.
Fault write_msr(CpuCore& core, u32 index, u64 engine_tsc, u64 value) noexcept;

// The guest's TSC.
[[nodiscard]] constexpr u64 guest_tsc(const CpuState& state, u64 engine_tsc) {
  return engine_tsc + state.tsc_offset;
}

}  // namespace emu
