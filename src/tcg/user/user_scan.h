// SPDX-License-Identifier: Apache-2.0
// Instructions that show the host's state in ring 3 and do not trap.
#pragma once

#include <span>

#include "base/types.h"

namespace emu {

// Whether `page` (code bytes; perhaps a few of the next page behind them) holds SLDT, STR, VERR,
// VERW, SGDT, SIDT, SMSW, LAR, LSL, RDPID or SYSENTER, or, if `xgetbv` is set, XGETBV, where
// compilers' code has instructions: bytes that look like one are decoded from a few places before
// them. Code that hides such an instruction inside another one learns what any program on the host
// may learn (this is no part of the fence around it).
// Source: Intel SDM vol. 2 appendix A, opcode map 0F.
[[nodiscard]] bool shows_host(std::span<const u8> page, bool xgetbv);

}  // namespace emu
