// SPDX-License-Identifier: Apache-2.0
// MOV to and from control registers, LMSW, CLTS, XSETBV, INVLPG and INVPCID.
// Source: Intel SDM vol. 3 2.5, 4.10.4, 9.8.5; vol. 2 MOV-Control Registers, XSETBV, INVPCID.
#pragma once

#include "cpu/cpu_core.h"

namespace emu {

// MOV from CR0, CR2, CR3, CR4. Others #UD; CR8 is the bus's (engine: check_privileged, then
// CpuBus::task_priority). #GP(0) unless CPL is 0.
Fault read_control_register(CpuCore& core, unsigned index, u64& value) noexcept;
// MOV to CR0, CR2, CR3, CR4 (64-bit values in 64-bit mode, else zero-extended). #GP(0) for CPL,
// reserved bits or an invalid combination; #UD for other registers. Enters and leaves long mode,
// loads PDPTEs, sets effects.
Fault write_control_register(CpuCore& core, unsigned index, u64 value) noexcept;
// MOV to CR8: #GP(0) for CPL or a value above 15. The engine then calls set_task_priority.
Fault check_cr8_write(CpuCore& core, u64 value) noexcept;

// LMSW: PE can be set, not cleared. #GP(0) unless CPL is 0.
Fault load_machine_status_word(CpuCore& core, u16 value) noexcept;
// SMSW: the low 16 bits (`operand_bytes` 2) or CR0. #GP(0) under UMIP with CPL above 0.
Fault store_machine_status_word(CpuCore& core, unsigned operand_bytes, u64& value) noexcept;
// CLTS. #GP(0) unless CPL is 0.
Fault clear_task_switched(CpuCore& core) noexcept;

// XGETBV: `index` 0 is XCR0, 1 is XCR0 & in_use. #UD unless CR4.OSXSAVE, #GP(0) for other indices.
Fault read_xcr(CpuCore& core, u32 index, u64 in_use, u64& value) noexcept;
// XSETBV. #UD unless CR4.OSXSAVE, #GP(0) for CPL, index or an invalid combination (SDM vol.
// 1 13.3).
Fault write_xcr(CpuCore& core, u32 index, u64 value) noexcept;

// INVPCID with its 16-byte descriptor already read; sets effects, flush_pcid and flush_page.
// #GP(0) for CPL, type, reserved bits or a non-canonical address; #UD is the decoder's.
Fault invalidate_pcid(CpuCore& core, u64 type, u64 descriptor_low, u64 descriptor_high) noexcept;

// CPL must be 0, or #GP(0): HLT, INVD, WBINVD, INVLPG, LGDT, LIDT, RDMSR, WRMSR, ...
Fault check_privileged(const CpuState& state) noexcept;
// SGDT, SIDT, SLDT, STR: #GP(0) with CR4.UMIP and CPL above 0.
Fault check_umip(const CpuState& state) noexcept;
// RDTSC, RDTSCP (CR4.TSD) and RDPMC (CR4.PCE): #GP(0) when not allowed.
Fault check_rdtsc(const CpuState& state) noexcept;
Fault check_rdpmc(const CpuState& state) noexcept;
// LGDT, LIDT with the operand already read. #GP(0) for CPL or a non-canonical base (64-bit mode).
Fault load_gdtr(CpuCore& core, u16 limit, u64 base) noexcept;
Fault load_idtr(CpuCore& core, u16 limit, u64 base) noexcept;
// RDFSBASE etc.: #UD unless CR4.FSGSBASE and 64-bit mode. WR: also #GP(0) for a non-canonical base.
Fault check_fsgsbase(const CpuState& state) noexcept;
Fault write_segment_base(CpuCore& core, SegmentIndex index, u64 base) noexcept;
// SWAPGS: #UD outside 64-bit mode, #GP(0) unless CPL is 0.
Fault swap_gs(CpuCore& core) noexcept;

}  // namespace emu
