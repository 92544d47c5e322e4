// SPDX-License-Identifier: Apache-2.0
// How the segments of ring-3 code look in the process that runs it, and back. 64-bit code and
// 32-bit code under a 64-bit kernel have the selectors that Linux gives them, which are the host's
// too. 32-bit code under a 32-bit kernel has others, which that code seldom reads or loads itself
// (user_scan.h finds the places): flat segments become the host's flat ones, FS and GS become
// descriptors for thread-local storage.
// Source: Intel SDM vol. 3 3.4, 5.2; the selectors: Linux arch/x86/include/asm/segment.h.
#pragma once

#include "base/types.h"
#include "cpu/cpu_state.h"

namespace emu {

// The host's selectors for programs.
inline constexpr u16 kUserCode32 = 0x23, kUserData = 0x2b, kUserCode64 = 0x33;
inline constexpr u16 kUserTls[] = {0x63, 0x6b, 0x73};

struct UserSegments {
  u16 cs = kUserCode64, ss = kUserData;
  u16 ds = 0, es = 0, fs = 0, gs = 0;
  u64 fs_base = 0, gs_base = 0;
};

// What the process has for the segments of `s`; false if it cannot have them.
[[nodiscard]] bool user_segments_of(const CpuState& s, UserSegments& out);

// The segments of `s`, where the process had `before` at first and has `now`.
void take_user_segments(CpuState& s, const UserSegments& before, const UserSegments& now);

}  // namespace emu
