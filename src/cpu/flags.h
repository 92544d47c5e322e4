// SPDX-License-Identifier: Apache-2.0
// PUSHF, POPF, CLI, STI and I/O permission.
// Source: Intel SDM vol. 2 (each instruction), vol. 1 18.5, vol. 3 20.2-20.4.
#pragma once

#include "cpu/cpu_core.h"

namespace emu {

// PUSHF/D/Q: the value to push, VM and RF cleared, IF replaced by VIF under VME. #GP(0) in
// virtual-8086 mode with IOPL below 3 (unless VME and 16-bit).
Fault pushf_value(const CpuState& state, unsigned operand_bytes, u64& value) noexcept;
// POPF/D/Q of a `value` already popped; the caller then moves the stack pointer. #GP(0) as above,
// or VME with TF, or VIP and IF. Sets kEffectInterrupts when IF became set. The caller single-steps
// by the TF that was in force before.
Fault popf(CpuCore& core, unsigned operand_bytes, u64 value) noexcept;
// CLI and STI with IOPL, VME and PVI rules. STI sets the interrupt shadow when IF was clear.
Fault clear_interrupts(CpuCore& core) noexcept;
Fault set_interrupts(CpuCore& core) noexcept;

// IN, OUT, INS, OUTS: CPL against IOPL, then the TSS bitmap. #GP(0); #PF of the bitmap.
Fault check_io(CpuCore& core, u16 port, unsigned size) noexcept;
// Whether check_io is trivially true (CPL <= IOPL, not virtual-8086): the fast path.
[[nodiscard]] constexpr bool has_io_privilege(const CpuState& state) {
  return !state.protected_mode() ||
         (!state.vm86() && state.cpl() <= ((state.rflags & kFlagIopl) >> 12));
}

}  // namespace emu
