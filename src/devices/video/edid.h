// SPDX-License-Identifier: Apache-2.0
// The monitor's description of itself.
#pragma once

#include <array>

#include "base/types.h"

namespace emu {

// An EDID 1.4 block that prefers `width` x `height` pixels (64 to 4095 each, clamped) at 60 Hz and
// allows the usual VESA sizes.
// Source: VESA Enhanced EDID Standard, Release A, Revision 2 (EDID 1.4), section 3.
[[nodiscard]] std::array<u8, 128> make_edid(u32 width, u32 height);

}  // namespace emu
