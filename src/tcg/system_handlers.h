// SPDX-License-Identifier: Apache-2.0
// The C++ operations that generated code reaches through StubTable::call_system: what the emitter
// puts into the SystemCall of each.
//
// Common to all: cpu.rip is the instruction's own when the handler starts; `length` leads to the
// next one. `operand_bytes` is the operand size (2, 4, 8), `address_bytes` the address size. With
// `memory` set, frame.exit_address is the linear address of the memory operand (segment already
// checked for `operand_bytes`, rights not), and `segment` its segment; otherwise `reg2` (or `reg`
// where there is only one operand) is the register. Where both a register and a register-or-memory
// operand exist, `reg` is the register operand and `reg2` the other. Privilege, mode and operand
// checks (#UD for LOCK excepted) are the handler's. `ends_block` handlers set cpu.rip only when
// they transfer control; otherwise the runtime goes on at the next instruction.
#pragma once

#include "tcg/emitted_block.h"

namespace emu {

// Segmentation. check_segment: exit_address = offset, operand_bytes = access size (up to 64),
// `segment`, immediate bit 0 = write: full check of the access, #GP/#SS or return.
void system_check_segment(TcgCpu&, const SystemCall&) noexcept;
void system_mov_to_segment(TcgCpu&, const SystemCall&) noexcept;    // reg = segment, reg2 or memory
void system_pop_segment(TcgCpu&, const SystemCall&) noexcept;       // reg = segment
void system_load_far_pointer(TcgCpu&, const SystemCall&) noexcept;  // lds...: reg, segment = target
void system_lar(TcgCpu&, const SystemCall&) noexcept;               // reg, reg2 or 16-bit memory
void system_lsl(TcgCpu&, const SystemCall&) noexcept;
void system_verr(TcgCpu&, const SystemCall&) noexcept;  // reg or memory
void system_verw(TcgCpu&, const SystemCall&) noexcept;
void system_arpl(TcgCpu&, const SystemCall&) noexcept;  // reg = source, reg2 or memory
void system_sgdt(TcgCpu&, const SystemCall&) noexcept;  // memory
void system_sidt(TcgCpu&, const SystemCall&) noexcept;
void system_lgdt(TcgCpu&, const SystemCall&) noexcept;
void system_lidt(TcgCpu&, const SystemCall&) noexcept;
void system_sldt(TcgCpu&, const SystemCall&) noexcept;  // reg (operand_bytes) or 16-bit memory
void system_str(TcgCpu&, const SystemCall&) noexcept;
void system_lldt(TcgCpu&, const SystemCall&) noexcept;  // reg or memory
void system_ltr(TcgCpu&, const SystemCall&) noexcept;
void system_smsw(TcgCpu&, const SystemCall&) noexcept;
void system_lmsw(TcgCpu&, const SystemCall&) noexcept;

// Control transfer. Far: immediate = selector << 32 | offset, or memory (offset of operand_bytes,
// then selector).
void system_far_jump(TcgCpu&, const SystemCall&) noexcept;
void system_far_call(TcgCpu&, const SystemCall&) noexcept;
void system_far_return(TcgCpu&, const SystemCall&) noexcept;  // immediate = bytes to release
void system_iret(TcgCpu&, const SystemCall&) noexcept;
void system_int(TcgCpu&, const SystemCall&) noexcept;   // immediate = vector
void system_int3(TcgCpu&, const SystemCall&) noexcept;  // CC
void system_int1(TcgCpu&, const SystemCall&) noexcept;  // F1
void system_into(TcgCpu&, const SystemCall&) noexcept;
void system_syscall(TcgCpu&, const SystemCall&) noexcept;
void system_sysret(TcgCpu&, const SystemCall&) noexcept;
void system_sysenter(TcgCpu&, const SystemCall&) noexcept;
void system_sysexit(TcgCpu&, const SystemCall&) noexcept;
void system_rsm(TcgCpu&, const SystemCall&) noexcept;

// Control and debug registers, MSRs. mov: reg = control or debug register, reg2 = gpr.
void system_mov_to_cr(TcgCpu&, const SystemCall&) noexcept;
void system_mov_from_cr(TcgCpu&, const SystemCall&) noexcept;
void system_mov_to_dr(TcgCpu&, const SystemCall&) noexcept;
void system_mov_from_dr(TcgCpu&, const SystemCall&) noexcept;
void system_clts(TcgCpu&, const SystemCall&) noexcept;
void system_rdmsr(TcgCpu&, const SystemCall&) noexcept;
void system_wrmsr(TcgCpu&, const SystemCall&) noexcept;
void system_rdtsc(TcgCpu&, const SystemCall&) noexcept;
void system_rdtscp(TcgCpu&, const SystemCall&) noexcept;
void system_rdpmc(TcgCpu&, const SystemCall&) noexcept;
void system_rdpid(TcgCpu&, const SystemCall&) noexcept;  // reg
void system_cpuid(TcgCpu&, const SystemCall&) noexcept;
void system_xgetbv(TcgCpu&, const SystemCall&) noexcept;
void system_xsetbv(TcgCpu&, const SystemCall&) noexcept;
void system_rdpkru(TcgCpu&, const SystemCall&) noexcept;
void system_wrpkru(TcgCpu&, const SystemCall&) noexcept;
void system_swapgs(TcgCpu&, const SystemCall&) noexcept;
void system_rdfsbase(TcgCpu&, const SystemCall&) noexcept;  // reg, operand_bytes 4 or 8
void system_rdgsbase(TcgCpu&, const SystemCall&) noexcept;
void system_wrfsbase(TcgCpu&, const SystemCall&) noexcept;
void system_wrgsbase(TcgCpu&, const SystemCall&) noexcept;

// Paging and caches.
void system_invlpg(TcgCpu&, const SystemCall&) noexcept;   // memory: the address itself
void system_invpcid(TcgCpu&, const SystemCall&) noexcept;  // reg = type, memory = descriptor
void system_wbinvd(TcgCpu&, const SystemCall&) noexcept;   // also INVD
void system_clflush(TcgCpu&, const SystemCall&) noexcept;  // and CLFLUSHOPT, CLWB: checks only

// Flags, halting, I/O.
void system_pushf(TcgCpu&, const SystemCall&) noexcept;
void system_popf(TcgCpu&, const SystemCall&) noexcept;
void system_cli(TcgCpu&, const SystemCall&) noexcept;
void system_sti(TcgCpu&, const SystemCall&) noexcept;
void system_stac(TcgCpu&, const SystemCall&) noexcept;
void system_clac(TcgCpu&, const SystemCall&) noexcept;
void system_hlt(TcgCpu&, const SystemCall&) noexcept;
void system_pause(TcgCpu&, const SystemCall&) noexcept;
void system_monitor(TcgCpu&, const SystemCall&) noexcept;  // memory: the address in rAX
void system_mwait(TcgCpu&, const SystemCall&) noexcept;
// immediate = port, or the port is DX when reg2 = 1; operand_bytes 1, 2, 4.
void system_in(TcgCpu&, const SystemCall&) noexcept;
void system_out(TcgCpu&, const SystemCall&) noexcept;

// String operations with addresses from the registers: operand_bytes = element size (1..8),
// address_bytes, segment = of the source (rSI), prefix = 0, 0xf2 or 0xf3, mnemonic = which
// (ZYDIS_MNEMONIC_MOVSB ...). `string`: movs, stos, lods, cmps, scas with a repeat prefix, any
// number of iterations at once; when rCX is not used up (an interrupt is pending) it leaves with
// cpu.rip unchanged. `string_io`: ins and outs, with and without a prefix.
void system_string(TcgCpu&, const SystemCall&) noexcept;
void system_string_io(TcgCpu&, const SystemCall&) noexcept;

// AAA, AAS, DAA, DAS by mnemonic: decimal_adjust() of decimal_scalar.h does it.
void system_decimal(TcgCpu&, const SystemCall&) noexcept;

// FPU and extended state; memory = the area. operand_bytes 8 for the ...64 forms, 4 otherwise; for
// FSTENV/FSAVE/FLDENV/FRSTOR the operand size (2 or 4, 4 in 64-bit code). #NM and alignment checks
// are the handler's.
void system_fxsave(TcgCpu&, const SystemCall&) noexcept;
void system_fxrstor(TcgCpu&, const SystemCall&) noexcept;
void system_xsave(TcgCpu&, const SystemCall&) noexcept;   // by mnemonic: XSAVE, -C, -OPT, -S (64)
void system_xrstor(TcgCpu&, const SystemCall&) noexcept;  // by mnemonic: XRSTOR, XRSTORS (64)
void system_fnstenv(TcgCpu&, const SystemCall&) noexcept;
void system_fldenv(TcgCpu&, const SystemCall&) noexcept;
void system_fnsave(TcgCpu&, const SystemCall&) noexcept;
void system_frstor(TcgCpu&, const SystemCall&) noexcept;

// The handler of a mnemonic classified InstructionClass::kSystem; null if there is none. Memory
// operands: which mnemonics have one is told by the decoded instruction.
using SystemHandler = void (*)(TcgCpu&, const SystemCall&) noexcept;
[[nodiscard]] SystemHandler system_handler(u16 mnemonic) noexcept;

}  // namespace emu
