// SPDX-License-Identifier: Apache-2.0
// Entry points of the FPU state instructions: move the registers to memory, then do the work in
// system_fpu.cpp, where vector registers are free.
#include "tcg/system_fpu.h"
#include "tcg/tcg_cpu.h"

namespace emu {

void system_fxsave(TcgCpu& t, const SystemCall& c) noexcept {
  t.save_vectors();
  fpu_fxsave(t, c);
}

void system_fxrstor(TcgCpu& t, const SystemCall& c) noexcept {
  t.save_vectors();
  fpu_fxrstor(t, c);
}

void system_xsave(TcgCpu& t, const SystemCall& c) noexcept {
  t.save_vectors();
  fpu_xsave(t, c);
}

void system_xrstor(TcgCpu& t, const SystemCall& c) noexcept {
  t.save_vectors();
  fpu_xrstor(t, c);
}

void system_fnstenv(TcgCpu& t, const SystemCall& c) noexcept {
  t.save_vectors();
  fpu_fnstenv(t, c);
}

void system_fldenv(TcgCpu& t, const SystemCall& c) noexcept {
  t.save_vectors();
  fpu_fldenv(t, c);
}

void system_fnsave(TcgCpu& t, const SystemCall& c) noexcept {
  t.save_vectors();
  fpu_fnsave(t, c);
}

void system_frstor(TcgCpu& t, const SystemCall& c) noexcept {
  t.save_vectors();
  fpu_frstor(t, c);
}

}  // namespace emu
