// SPDX-License-Identifier: Apache-2.0
// KVM's clock for guests: its CPUID bits and MSRs.
// Source: Linux Documentation/virt/kvm/x86/cpuid.rst and msr.rst.
#pragma once

#include "base/types.h"

namespace emu {

// CPUID 40000001h EAX: no delays after port accesses, the two MSRs, and a time stamp counter whose
// rate never changes.
inline constexpr u32 kPvNoIoDelay = 1 << 1, kPvClockMsrs = 1 << 3, kPvClockStable = 1 << 24;

inline constexpr u32 kMsrPvWallClock = 0x4b564d00, kMsrPvSystemTime = 0x4b564d01;

}  // namespace emu
