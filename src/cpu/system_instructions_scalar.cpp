// SPDX-License-Identifier: Apache-2.0
// Small privileged instructions: descriptor-table registers, segment bases, SWAPGS, who may RDTSC.
// Source: Intel SDM vol. 2 (each instruction).
#include "cpu/control_registers.h"
#include "cpu/page_walk.h"

namespace emu {
namespace {

Fault load_table(CpuCore& core, DescriptorTable& table, u16 limit, u64 base) {
  if (core.state.cpl() != 0) return Fault::gp();
  if (core.state.code64() && !is_canonical(base)) return Fault::gp();
  table.base = base;
  table.limit = limit;
  return Fault::none();
}

}  // namespace

Fault check_umip(const CpuState& state) noexcept {
  const bool denied = (state.cr4 & kCr4Umip) != 0 && state.cpl() != 0;
  return denied ? Fault::gp() : Fault::none();
}

Fault check_rdtsc(const CpuState& state) noexcept {
  const bool denied = (state.cr4 & kCr4Tsd) != 0 && state.cpl() != 0;
  return denied ? Fault::gp() : Fault::none();
}

Fault check_rdpmc(const CpuState& state) noexcept {
  const bool denied = (state.cr4 & kCr4Pce) == 0 && state.cpl() != 0;
  return denied ? Fault::gp() : Fault::none();
}

Fault load_gdtr(CpuCore& core, u16 limit, u64 base) noexcept {
  return load_table(core, core.state.gdtr, limit, base);
}

Fault load_idtr(CpuCore& core, u16 limit, u64 base) noexcept {
  return load_table(core, core.state.idtr, limit, base);
}

Fault check_fsgsbase(const CpuState& state) noexcept {
  const bool offered = state.code64() && (state.cr4 & kCr4Fsgsbase) != 0;
  return offered ? Fault::none() : Fault::ud();
}

Fault write_segment_base(CpuCore& core, SegmentIndex index, u64 base) noexcept {
  if (Fault f = check_fsgsbase(core.state)) return f;
  if (!is_canonical(base)) return Fault::gp();
  core.state.segments[index].base = base;
  return Fault::none();
}

Fault swap_gs(CpuCore& core) noexcept {
  CpuState& state = core.state;
  if (!state.code64()) return Fault::ud();
  if (state.cpl() != 0) return Fault::gp();
  const u64 base = state.segments[kGs].base;
  state.segments[kGs].base = state.kernel_gs_base;
  state.kernel_gs_base = base;
  return Fault::none();
}

}  // namespace emu
