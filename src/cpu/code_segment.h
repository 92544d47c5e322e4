// SPDX-License-Identifier: Apache-2.0
// The target code segment of a far transfer: fetching, checking, committing. Internal to src/cpu.
// Source: Intel SDM vol. 3 5.8.1-5.8.3; vol. 2 JMP, CALL, RET, IRET.
#pragma once

#include "cpu/cpu_core.h"
#include "cpu/segmentation.h"

namespace emu {

// A code segment about to be entered.
struct CodeTarget {
  Descriptor descriptor;
  LinearAddr address;  // of the descriptor
  u16 selector = 0;
  [[nodiscard]] u32 code() const { return selector & 0xfffcu; }
};

// Reads a code descriptor: #GP(0) for a null selector, #GP(selector) for anything but code or for
// L and D both set in long mode. Presence and privilege are left to the caller.
Fault fetch_code(CpuCore& core, u16 selector, CodeTarget& out) noexcept;
// Whether the target runs in 64-bit mode.
[[nodiscard]] bool is_code64(const CpuState& state, const Descriptor& d) noexcept;
// #NP(selector) unless present.
Fault check_present(const CodeTarget& target) noexcept;
// #GP(0) unless `rip` is canonical (64-bit target) or inside the limit.
Fault check_rip(const CpuState& state, const Descriptor& d, u64 rip) noexcept;
// Loads CS with `rpl` and RIP. The accessed bit must have been set.
void enter_code(CpuCore& core, const CodeTarget& target, unsigned rpl, u64 rip) noexcept;

}  // namespace emu
