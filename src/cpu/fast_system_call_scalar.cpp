// SPDX-License-Identifier: Apache-2.0
// SYSCALL, SYSRET, SYSENTER, SYSEXIT. Source: Intel SDM vol. 2 (each), vol. 3 5.8.7, 5.8.8.
#include "cpu/far_transfer.h"
#include "cpu/page_walk.h"

namespace emu {
namespace {

constexpr u16 kFlatData = 0xc093;
constexpr u16 kFlatCode32 = 0xc09b;
constexpr u16 kFlatCode64 = 0xa09b;
constexpr u64 kSysretFlags = 0x3c7fd7;

// Flat CS and SS at level `cpl`, whatever the descriptor tables say.
void load_flat(CpuState& state, u16 cs, u16 ss, bool code64, unsigned cpl) {
  const u16 level = static_cast<u16>(cpl << kSegDplShift);
  const u16 code = code64 ? kFlatCode64 : kFlatCode32;
  state.segments[kCs] = {0, 0xffffffff, static_cast<u16>((cs & 0xfffc) | cpl),
                         static_cast<u16>(code | level)};
  state.segments[kSs] = {0, 0xffffffff, static_cast<u16>((ss & 0xfffc) | cpl),
                         static_cast<u16>(kFlatData | level)};
}

bool syscall_enabled(const CpuState& state) {
  return (state.efer & kEferSce) != 0 && state.code64();
}

}  // namespace

Fault syscall_enter(CpuCore& core, u64 next_rip) noexcept {
  CpuState& state = core.state;
  if (!syscall_enabled(state)) return Fault::ud();
  state.gpr[kRcx] = next_rip;
  // RF lasts for one instruction (SDM vol. 3 17.3.1.1), but engines need not clear it in the state
  // while no breakpoint is set. Linux returns by IRET when it finds RF in R11.
  state.gpr[kR11] = state.rflags & ~kFlagRf;
  state.rflags = (state.rflags & ~state.sfmask & ~kFlagRf) | kFlagFixed1;
  const u16 selector = static_cast<u16>(state.star >> 32);
  load_flat(state, selector, static_cast<u16>((selector & 0xfffc) + 8), true, 0);
  state.rip = state.lstar;
  return Fault::none();
}

Fault syscall_return(CpuCore& core, unsigned operand_bytes) noexcept {
  CpuState& state = core.state;
  if (!syscall_enabled(state)) return Fault::ud();
  const bool to64 = operand_bytes == 8;
  const u64 rip = to64 ? state.gpr[kRcx] : state.gpr[kRcx] & 0xffffffff;
  if (state.cpl() != 0 || !is_canonical(rip)) return Fault::gp();
  state.rflags = (state.gpr[kR11] & kSysretFlags) | kFlagFixed1;
  const u16 base = static_cast<u16>(state.star >> 48);
  load_flat(state, static_cast<u16>(base + (to64 ? 16 : 0)), static_cast<u16>(base + 8), to64, 3);
  state.rip = rip;
  core.effects |= kEffectInterrupts;
  return Fault::none();
}

Fault sysenter(CpuCore& core) noexcept {
  CpuState& state = core.state;
  if (!core.features.sysenter) return Fault::ud();
  const u16 selector = state.sysenter_cs & 0xfffc;
  if (!state.protected_mode() || selector == 0) return Fault::gp();
  const bool long_mode = state.long_mode();
  const u64 mask = long_mode ? ~u64{0} : 0xffffffff;
  state.rflags &= ~(kFlagVm | kFlagIf | kFlagRf);
  load_flat(state, selector, static_cast<u16>(selector + 8), long_mode, 0);
  state.gpr[kRsp] = state.sysenter_esp & mask;
  state.rip = state.sysenter_eip & mask;
  return Fault::none();
}

Fault sysexit(CpuCore& core, unsigned operand_bytes) noexcept {
  CpuState& state = core.state;
  if (!core.features.sysenter) return Fault::ud();
  const u16 selector = state.sysenter_cs & 0xfffc;
  if (!state.protected_mode() || state.cpl() != 0 || selector == 0) return Fault::gp();
  const bool to64 = operand_bytes == 8;
  const u64 rip = state.gpr[kRdx];
  const u64 rsp = state.gpr[kRcx];
  if (to64 && !(is_canonical(rip) && is_canonical(rsp))) return Fault::gp();
  const unsigned cs = selector + (to64 ? 32u : 16u);
  load_flat(state, static_cast<u16>(cs), static_cast<u16>(cs + 8), to64, 3);
  state.gpr[kRsp] = to64 ? rsp : rsp & 0xffffffff;
  state.rip = to64 ? rip : rip & 0xffffffff;
  return Fault::none();
}

}  // namespace emu
