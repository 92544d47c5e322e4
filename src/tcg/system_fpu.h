// SPDX-License-Identifier: Apache-2.0
// The FPU state instructions on cpu.xsave. Not scalar: the caller has saved the vector registers.
#pragma once

#include "tcg/system_handlers.h"

namespace emu {

void fpu_fxsave(TcgCpu& t, const SystemCall& c) noexcept;
void fpu_fxrstor(TcgCpu& t, const SystemCall& c) noexcept;
void fpu_xsave(TcgCpu& t, const SystemCall& c) noexcept;
void fpu_xrstor(TcgCpu& t, const SystemCall& c) noexcept;
void fpu_fnstenv(TcgCpu& t, const SystemCall& c) noexcept;
void fpu_fldenv(TcgCpu& t, const SystemCall& c) noexcept;
void fpu_fnsave(TcgCpu& t, const SystemCall& c) noexcept;
void fpu_frstor(TcgCpu& t, const SystemCall& c) noexcept;

}  // namespace emu
