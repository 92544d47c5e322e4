// SPDX-License-Identifier: Apache-2.0
// Instructions that show the host's state in ring 3 and do not trap.
#pragma once

#include <cstddef>
#include <span>

#include "base/types.h"

namespace emu {

// Bytes before the code in question that help to read it.
inline constexpr std::size_t kScanRunUpBytes = 256;

struct ScanFor {
  bool code32 = false;
  bool xgetbv = false;  // XGETBV answers otherwise on the host
};

// Whether code[first, last) has an SLDT, STR, VERR, VERW, SGDT, SIDT, SMSW, LAR, LSL, RDPID or
// SYSENTER, or what else is asked for, or, in 32-bit code, a SYSCALL or a MOV, POP or load of
// segment registers (whose selectors are the host's), where compilers' code has instructions: bytes
// that look like one are decoded from several places up to kScanRunUpBytes before them, and most
// must come to the same. So `code` had better begin so much before `first` and end some bytes
// behind `last`. Code that hides such an instruction inside another one learns what any program on
// the host may learn (this is no part of the fence around it). PUSH and POP of DS, ES and SS, LDS
// and LES are not looked for: what the first push, the others take; other selectors do not work and
// stop the code where it uses them.
// Source: Intel SDM vol. 2 appendix A, opcode maps.
[[nodiscard]] bool shows_host(std::span<const u8> code, std::size_t first, std::size_t last,
                              ScanFor what);

}  // namespace emu
