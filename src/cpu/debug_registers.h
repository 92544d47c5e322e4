// SPDX-License-Identifier: Apache-2.0
// Debug registers and breakpoint matching.
// Source: Intel SDM vol. 3 ch. 17.2-17.3.
#pragma once

#include "cpu/cpu_core.h"

namespace emu {

// DR6 bits, also in Fault::address of a #DB.
inline constexpr u64 kDr6Bd = 1u << 13, kDr6Bs = 1u << 14, kDr6Bt = 1u << 15;
inline constexpr u64 kDr6Fixed1 = 0xffff0ff0, kDr7Fixed1 = 0x400, kDr7Gd = 1u << 13;
inline constexpr u64 kDebugctlBtf = 1u << 1;

// MOV from and to DR0-DR7. #GP(0) for CPL or upper bits of DR6/DR7, #UD for DR4/DR5 with CR4.DE,
// #DB(BD) with DR7.GD.
Fault read_debug_register(CpuCore& core, unsigned index, u64& value) noexcept;
Fault write_debug_register(CpuCore& core, unsigned index, u64 value) noexcept;

// Whether any breakpoint of DR7 is enabled: of kind execute, data (read or write), I/O.
[[nodiscard]] bool has_code_breakpoints(const CpuState& state) noexcept;
[[nodiscard]] bool has_data_breakpoints(const CpuState& state) noexcept;
[[nodiscard]] bool has_io_breakpoints(const CpuState& state) noexcept;
// Whether an enabled breakpoint of the kind lies in the 4 KiB page of `linear`.
[[nodiscard]] bool page_has_code_breakpoint(const CpuState& state, LinearAddr linear) noexcept;
[[nodiscard]] bool page_has_data_breakpoint(const CpuState& state, LinearAddr linear) noexcept;

// DR6 bits (B0-B3) that the access raises, 0 if none. With at least one enabled match, the bits of
// disabled matching breakpoints are included, as the hardware reports them. RF is the caller's.
[[nodiscard]] u64 match_code_breakpoint(const CpuState& state, LinearAddr linear) noexcept;
[[nodiscard]] u64 match_data_breakpoint(const CpuState& state, LinearAddr linear, u64 size,
                                        bool write) noexcept;
[[nodiscard]] u64 match_io_breakpoint(const CpuState& state, u16 port, unsigned size) noexcept;

// The #DB with these DR6 bits.
[[nodiscard]] constexpr Fault debug_fault(u64 dr6_bits) {
  return {kVectorDb, false, 0, dr6_bits};
}

}  // namespace emu
