// SPDX-License-Identifier: Apache-2.0
// CPUID feature bits, by leaf and register. Internal to src/cpu.
// Source: Intel SDM vol. 2 CPUID tables 3-8, 3-10, 3-11.
#pragma once

#include "base/types.h"

namespace emu::cpuid {

// Leaf 1 ECX.
inline constexpr u32 kSse3 = 1u << 0, kPclmul = 1u << 1, kSsse3 = 1u << 9, kFma = 1u << 12,
                     kCx16 = 1u << 13, kPcid = 1u << 17, kSse41 = 1u << 19, kSse42 = 1u << 20,
                     kX2apic = 1u << 21, kMovbe = 1u << 22, kPopcnt = 1u << 23,
                     kTscDeadline = 1u << 24, kAes = 1u << 25, kXsave = 1u << 26,
                     kOsxsave = 1u << 27, kAvx = 1u << 28, kF16c = 1u << 29, kRdrand = 1u << 30,
                     kHypervisor = 1u << 31;
// Leaf 1 EDX.
inline constexpr u32 kFpu = 1u << 0, kVme = 1u << 1, kDe = 1u << 2, kPse = 1u << 3, kTsc = 1u << 4,
                     kMsr = 1u << 5, kPae = 1u << 6, kMce = 1u << 7, kCx8 = 1u << 8,
                     kApic = 1u << 9, kSep = 1u << 11, kMtrr = 1u << 12, kPge = 1u << 13,
                     kMca = 1u << 14, kCmov = 1u << 15, kPat = 1u << 16, kPse36 = 1u << 17,
                     kClflush = 1u << 19, kMmx = 1u << 23, kFxsr = 1u << 24, kSse = 1u << 25,
                     kSse2 = 1u << 26, kSelfSnoop = 1u << 27, kHtt = 1u << 28;
// Leaf 7 EBX.
inline constexpr u32 kFsgsbase = 1u << 0, kTscAdjust = 1u << 1, kBmi1 = 1u << 3, kAvx2 = 1u << 5,
                     kFdpExceptionOnly = 1u << 6, kSmep = 1u << 7, kBmi2 = 1u << 8, kErms = 1u << 9,
                     kInvpcid = 1u << 10, kZeroFcsFds = 1u << 13, kAvx512f = 1u << 16,
                     kAvx512dq = 1u << 17, kRdseed = 1u << 18, kAdx = 1u << 19, kSmap = 1u << 20,
                     kAvx512ifma = 1u << 21, kClflushopt = 1u << 23, kClwb = 1u << 24,
                     kAvx512cd = 1u << 28, kSha = 1u << 29, kAvx512bw = 1u << 30,
                     kAvx512vl = 1u << 31;
// Leaf 7 ECX.
inline constexpr u32 kAvx512vbmi = 1u << 1, kUmip = 1u << 2, kPku = 1u << 3, kOspke = 1u << 4,
                     kAvx512vbmi2 = 1u << 6, kGfni = 1u << 8, kVaes = 1u << 9, kVpclmul = 1u << 10,
                     kAvx512vnni = 1u << 11, kAvx512bitalg = 1u << 12, kAvx512vpopcntdq = 1u << 14,
                     kRdpid = 1u << 22, kCldemote = 1u << 25, kMovdiri = 1u << 27;
// Leaf 7 EDX.
inline constexpr u32 kFsrm = 1u << 4, kVp2intersect = 1u << 8, kSerialize = 1u << 14,
                     kAvx512fp16 = 1u << 23, kSpecCtrl = 1u << 26, kStibp = 1u << 27,
                     kArchCapabilities = 1u << 29, kSsbd = 1u << 31;
// Leaf 7 subleaf 1 EAX.
inline constexpr u32 kAvxVnni = 1u << 4, kAvx512bf16 = 1u << 5, kFzrm = 1u << 10, kFsrs = 1u << 11,
                     kFsrc = 1u << 12;
// Leaf 7 subleaf 2 EDX.
inline constexpr u32 kBhiCtrl = 1u << 4, kMcdtNo = 1u << 5;
// Leaf 80000001h ECX and EDX.
inline constexpr u32 kLahf = 1u << 0, kLzcnt = 1u << 5, kPrefetchw = 1u << 8;
inline constexpr u32 kSyscall = 1u << 11, kNx = 1u << 20, kGiantPages = 1u << 26,
                     kRdtscp = 1u << 27, kLongMode = 1u << 29;
// Leaf 0Dh subleaf 1 EAX.
inline constexpr u32 kXsaveopt = 1u << 0, kXsavec = 1u << 1, kXgetbv1 = 1u << 2, kXsaves = 1u << 3;

}  // namespace emu::cpuid
