// SPDX-License-Identifier: Apache-2.0
// Control transfers that load CS: JMP/CALL/RET far, IRET, SYSCALL and SYSENTER with their returns.
// Source: Intel SDM vol. 2 (each instruction), vol. 3 5.8 and 7.3. Intel behaviour throughout.
// Not modelled: shadow stacks.
#pragma once

#include "cpu/cpu_core.h"

namespace emu {

// JMP far to selector:offset (direct, or already read from memory); in protected mode also through
// call gates, task gates and TSS descriptors. `operand_bytes` is 2, 4 or 8; `offset` is zero-
// extended from it. `next_rip` is what a task switch saves.
// #GP/#NP/#SS/#TS with selector or 0, #PF.
Fault far_jump(CpuCore& core, u16 selector, u64 offset, unsigned operand_bytes,
               u64 next_rip) noexcept;
// CALL far, the same, pushing CS and `next_rip`, with stack switch and parameter copy through
// gates.
Fault far_call(CpuCore& core, u16 selector, u64 offset, unsigned operand_bytes,
               u64 next_rip) noexcept;
// RETF, RETF imm16 (`release_bytes`), in all modes, to the same or an outer level.
Fault far_return(CpuCore& core, unsigned operand_bytes, u16 release_bytes) noexcept;
// IRET/IRETD/IRETQ in all modes: real, virtual-8086 (with VME), same and outer level, to
// virtual-8086 mode, nested task, long mode. `next_rip` is what a task switch saves. Lifts NMI
// blocking, sets kEffectInterrupts.
Fault interrupt_return(CpuCore& core, unsigned operand_bytes, u64 next_rip) noexcept;

// SYSCALL: #UD unless EFER.SCE and 64-bit mode (Intel).
Fault syscall_enter(CpuCore& core, u64 next_rip) noexcept;
// SYSRET; `operand_bytes` is 8 with REX.W, else 4. #UD unless EFER.SCE and 64-bit mode; #GP(0) if
// CPL is not 0 or the target is not canonical.
Fault syscall_return(CpuCore& core, unsigned operand_bytes) noexcept;
// SYSENTER: #GP(0) in real mode or with a null IA32_SYSENTER_CS; #UD without the feature.
Fault sysenter(CpuCore& core) noexcept;
// SYSEXIT; `operand_bytes` is 8 with REX.W, else 4.
Fault sysexit(CpuCore& core, unsigned operand_bytes) noexcept;

}  // namespace emu
