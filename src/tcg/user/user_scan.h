// SPDX-License-Identifier: Apache-2.0
// Instructions that show the host's state in ring 3 and do not trap.
#pragma once

#include <cstddef>
#include <span>

#include "base/types.h"

namespace emu {

// Bytes before the code in question that help to read it.
inline constexpr std::size_t kScanRunUpBytes = 64;

// Whether code[first, last) has the 0F of SLDT, STR, VERR, VERW, SGDT, SIDT, SMSW, LAR, LSL, RDPID
// or SYSENTER, or, if `xgetbv` is set, of XGETBV, where compilers' code has instructions: bytes
// that look like one are decoded from several places up to kScanRunUpBytes before them, and most
// must come to the same. So `code` had better begin so much before `first` and end some bytes
// behind `last`. Code that hides such an instruction inside another one learns what any program on
// the host may learn (this is no part of the fence around it).
// Source: Intel SDM vol. 2 appendix A, opcode map 0F.
[[nodiscard]] bool shows_host(std::span<const u8> code, std::size_t first, std::size_t last,
                              bool xgetbv);

}  // namespace emu
