// SPDX-License-Identifier: Apache-2.0
// Power-on, INIT and start-up by SIPI. Source: Intel SDM vol. 3 8.4.4, 9.1.1, table 9-1.
#include "cpu/cpu_state.h"
#include "cpu/debug_registers.h"
#include "cpu/xsave_layout.h"

namespace emu {
namespace {

// DX after reset: family, model, stepping as in CPUID leaf 1 of the oldest part a guest may expect.
constexpr u64 kResetSignature = 0x600;

constexpr Segment kResetData{0, 0xffff, 0, 0x93};
constexpr Segment kResetTr{0, 0xffff, 0, 0x8b};
constexpr Segment kResetLdtr{0, 0xffff, 0, 0x82};

// What both a reset and an INIT put into their initial state.
void reset_core_registers(CpuState& state) {
  for (u64& r : state.gpr) r = 0;
  state.gpr[kRdx] = kResetSignature;
  state.rip = 0xfff0;
  state.rflags = kFlagFixed1;
  for (Segment& segment : state.segments) segment = kResetData;
  state.segments[kCs] = {0xffff0000, 0xffff, 0xf000, 0x93};
  state.ldtr = kResetLdtr;
  state.tr = kResetTr;
  state.gdtr = {0, 0xffff, {}};
  state.idtr = {0, 0xffff, {}};
  state.cr2 = state.cr3 = state.cr4 = 0;
  state.efer = 0;
  for (u64& p : state.pdpte) p = 0;
  for (u64& d : state.dr) d = 0;
  state.dr6 = kDr6Fixed1;
  state.dr7 = kDr7Fixed1;
  state.activity = Activity::kRunning;
  state.interrupt_shadow = false;
  state.nmi_blocked = false;
  state.nmi_pending = false;
  state.smi_pending = false;
  state.smm = false;
  state.init_pending = false;
}

}  // namespace

void reset_cpu(CpuState& state, bool init_only) {
  if (!init_only) {
    state = CpuState{};
    xsave_reset(state.xsave);
    state.cr0 = kCr0Cd | kCr0Nw | kCr0Et;
    reset_core_registers(state);
    return;
  }
  // INIT keeps CD and NW.
  state.cr0 = (state.cr0 & (kCr0Cd | kCr0Nw)) | kCr0Et;
  reset_core_registers(state);
}

void start_cpu_at_sipi(CpuState& state, u8 vector) {
  const u16 selector = static_cast<u16>(vector << 8);
  state.segments[kCs] = {u64{selector} << 4, 0xffff, selector, 0x93};
  state.rip = 0;
  state.activity = Activity::kRunning;
}

}  // namespace emu
