// SPDX-License-Identifier: Apache-2.0
// Offsets in the SMM state-save areas, from SMBASE. Internal to src/cpu.
// Source: AMD APM vol. 2 table 10-1 (64-bit map; firmware tests the revision 20064h and then uses
// it); Intel SDM vol. 3 table 30-1 (32-bit map, revision 20000h). The hidden parts of the 32-bit
// map are undocumented there; the usual emulator layout is followed.
#pragma once

#include "base/types.h"

namespace emu::smm {

inline constexpr u32 kEntryOffset = 0x8000;
inline constexpr u32 kRevision = 0xfefc;

// The 64-bit map.
namespace map64 {
inline constexpr u32 kSegments = 0xfe00;  // ES, CS, SS, DS, FS, GS; 16 bytes each
inline constexpr u32 kGdtr = 0xfe60, kLdtr = 0xfe70, kIdtr = 0xfe80, kTr = 0xfe90;
inline constexpr u32 kHalted = 0xfec9, kNmiBlocked = 0xfeca, kShadow = 0xfecb;
inline constexpr u32 kEfer = 0xfed0;
inline constexpr u32 kSmbase = 0xff00;
inline constexpr u32 kCr4 = 0xff48, kCr3 = 0xff50, kCr0 = 0xff58;
inline constexpr u32 kDr7 = 0xff60, kDr6 = 0xff68, kRflags = 0xff70, kRip = 0xff78;
inline constexpr u32 kRax = 0xfff8;  // the others follow downwards, in encoding order
// Inside a segment entry.
inline constexpr u32 kSelector = 0, kAttributes = 2, kLimit = 4, kBase = 8;
}  // namespace map64

// The 32-bit map.
namespace map32 {
inline constexpr u32 kCr0 = 0xfffc, kCr3 = 0xfff8, kEflags = 0xfff4, kEip = 0xfff0;
inline constexpr u32 kEdi = 0xffec;  // then ESI, EBP, ESP, EBX, EDX, ECX, EAX downwards
inline constexpr u32 kDr6 = 0xffcc, kDr7 = 0xffc8;
inline constexpr u32 kTrSelector = 0xffc4, kLdtrSelector = 0xffc0;
inline constexpr u32 kSelectors = 0xffa8;                            // ES, CS, SS, DS, FS, GS
inline constexpr u32 kLowSegments = 0xff84, kHighSegments = 0xff2c;  // ES-SS and DS-GS
inline constexpr u32 kLdtr = 0xff78, kGdtLimit = 0xff70, kGdtBase = 0xff74, kTr = 0xff5c,
                     kIdtLimit = 0xff54, kIdtBase = 0xff58;
inline constexpr u32 kCr4 = 0xff14, kHalted = 0xff02, kSmbase = 0xfef8;
// Inside a segment entry of 12 bytes.
inline constexpr u32 kAttributes = 0, kLimit = 4, kBase = 8, kEntryBytes = 12;
}  // namespace map32

}  // namespace emu::smm
