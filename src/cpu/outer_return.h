// SPDX-License-Identifier: Apache-2.0
// What RETF and IRET to an outer level share. Internal to src/cpu.
// Source: Intel SDM vol. 2 RET, IRET; vol. 3 5.8.6.
#pragma once

#include "cpu/code_segment.h"
#include "cpu/cpu_core.h"

namespace emu {

// Checks the CS a far return goes to: not to an inner level, privilege matching its RPL, present.
// #GP(0), #GP(selector), #NP(selector).
Fault fetch_return_code(CpuCore& core, u16 selector, CodeTarget& out) noexcept;
// Checks and unpacks the SS popped together with `target`. A null one is allowed when 64-bit mode
// below level 3 is returned to. #GP(0), #GP(selector), #SS(selector).
Fault fetch_return_stack(CpuCore& core, u16 selector, const CodeTarget& target,
                         Segment& out) noexcept;
// RSP after `sp` was popped along with `ss`: its size counts, except in 64-bit mode.
[[nodiscard]] u64 returned_rsp(const CpuState& state, const CodeTarget& target, const Segment& ss,
                               u64 sp) noexcept;
// Makes data segments null that the outer level `cpl` may not use.
void drop_inner_segments(CpuState& state, unsigned cpl) noexcept;

}  // namespace emu
