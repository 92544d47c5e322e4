// SPDX-License-Identifier: Apache-2.0
// System management mode: SMI entry and RSM.
// Source: Intel SDM vol. 3 ch. 30 (34 in older editions); AMD APM vol. 2 10.2.3 for the 64-bit
// save-state map, which is what OVMF and SeaBIOS use with revision 20064h.
// Not modelled: I/O restart, auto-halt restart beyond the HLT flag.
#pragma once

#include "cpu/cpu_core.h"

namespace emu {

inline constexpr u32 kSmmRevisionLong = 0x20064;
inline constexpr u32 kSmmRevisionLegacy = 0x20000;

enum class SmmResult : u8 { kDone, kShutdown };

// Takes an SMI: sets `state.smm`, writes the save area at SMBASE + FE00h (with write_phys) and goes
// to SMBASE + 8000h in big real mode. Call CpuBus::smm_changed(true) before, so that SMRAM is seen.
void enter_smm(CpuCore& core) noexcept;
// RSM: #UD outside SMM. Restores from the save area; an invalid one is kShutdown, with activity
// set. Sets kEffectSmm (the engine then calls CpuBus::smm_changed(false)), kEffectFlushAll.
Fault leave_smm(CpuCore& core, SmmResult& result) noexcept;

}  // namespace emu
