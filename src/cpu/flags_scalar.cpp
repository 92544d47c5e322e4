// SPDX-License-Identifier: Apache-2.0
// PUSHF, POPF, CLI, STI and the I/O permission bitmap.
// Source: Intel SDM vol. 2 (each instruction), vol. 1 18.5.2, vol. 3 20.2.7, 20.3, 20.4.
#include "base/bits.h"
#include "cpu/flags.h"
#include "cpu/segmentation.h"

namespace emu {
namespace {

constexpr u64 kUserFlags = kFlagsArithmetic | kFlagTf | kFlagDf | kFlagNt | kFlagAc | kFlagId;

unsigned iopl(const CpuState& state) {
  return static_cast<unsigned>(bits(state.rflags, 12, 2));
}

bool vm86_restricted(const CpuState& state) {
  return state.vm86() && iopl(state) < 3;
}

void assign_flags(CpuCore& core, u64 mask, u64 value) {
  CpuState& state = core.state;
  state.rflags = (state.rflags & ~mask) | (value & mask) | kFlagFixed1;
  if ((mask & value & kFlagIf) != 0) core.effects |= kEffectInterrupts;
}

// POPF in virtual-8086 mode with IOPL below 3 and CR4.VME: IF goes to VIF (SDM vol. 3 20.3.3).
Fault popf_vme(CpuCore& core, u64 value) {
  const bool pending = (core.state.rflags & kFlagVip) != 0;
  if ((value & kFlagTf) != 0 || ((value & kFlagIf) != 0 && pending)) return Fault::gp();
  const u64 mask = (kUserFlags & 0xffff) | kFlagVif;
  assign_flags(core, mask, value | ((value & kFlagIf) != 0 ? kFlagVif : 0));
  return Fault::none();
}

// CLI/STI when IOPL does not allow IF: VIF under VME or PVI, else #GP(0).
bool virtual_if_applies(const CpuState& state) {
  if (state.vm86()) return (state.cr4 & kCr4Vme) != 0;
  return state.cpl() == 3 && (state.cr4 & kCr4Pvi) != 0;
}

bool if_allowed(const CpuState& state) {
  return !state.protected_mode() || state.cpl() <= iopl(state);
}

// The I/O bitmap says yes to `size` ports from `port`. Two bytes are always read (SDM vol.
// 1 18.5.2).
Fault check_bitmap(CpuCore& core, u16 port, unsigned size) {
  const Segment& tr = core.state.tr;
  const unsigned type = tr.attributes & kSegTypeMask;
  if (!tr.usable() || (type != kSysTss && type != kSysTssBusy) || tr.limit < 103) {
    return Fault::gp();
  }
  u64 bitmap = 0;
  const LinearAddr base{tr.base};
  if (Fault f = core.memory.read(base + 102, 2, bitmap, Privilege::kSupervisor)) return f;
  const u64 offset = bitmap + port / 8u;
  if (offset + 1 > tr.limit) return Fault::gp();
  u64 word = 0;
  if (Fault f = core.memory.read(base + offset, 2, word, Privilege::kSupervisor)) return f;
  return bits(word, port % 8u, size) == 0 ? Fault::none() : Fault::gp();
}

}  // namespace

Fault pushf_value(const CpuState& state, unsigned operand_bytes, u64& value) noexcept {
  u64 flags = state.rflags & ~(kFlagVm | kFlagRf);
  if (vm86_restricted(state)) {
    if ((state.cr4 & kCr4Vme) == 0 || operand_bytes != 2) return Fault::gp();
    flags &= ~kFlagIf;
    flags |= kFlagIopl | ((flags & kFlagVif) != 0 ? kFlagIf : 0);
  }
  value = flags & byte_mask(operand_bytes);
  return Fault::none();
}

Fault popf(CpuCore& core, unsigned operand_bytes, u64 value) noexcept {
  CpuState& state = core.state;
  if (vm86_restricted(state)) {
    if ((state.cr4 & kCr4Vme) == 0 || operand_bytes != 2) return Fault::gp();
    return popf_vme(core, value);
  }
  u64 mask = kUserFlags;
  if (if_allowed(state)) mask |= kFlagIf;
  if (state.cpl() == 0) mask |= kFlagIopl;
  if (operand_bytes == 2) mask &= 0xffff;
  assign_flags(core, mask, value);
  state.rflags &= ~kFlagRf;
  return Fault::none();
}

Fault clear_interrupts(CpuCore& core) noexcept {
  CpuState& state = core.state;
  if (if_allowed(state)) {
    state.rflags &= ~kFlagIf;
    return Fault::none();
  }
  if (!virtual_if_applies(state)) return Fault::gp();
  state.rflags &= ~kFlagVif;
  return Fault::none();
}

Fault set_interrupts(CpuCore& core) noexcept {
  CpuState& state = core.state;
  if (if_allowed(state)) {
    if ((state.rflags & kFlagIf) == 0) state.interrupt_shadow = true;
    state.rflags |= kFlagIf;
    core.effects |= kEffectInterrupts;
    return Fault::none();
  }
  if (!virtual_if_applies(state) || (state.rflags & kFlagVip) != 0) return Fault::gp();
  state.rflags |= kFlagVif;
  return Fault::none();
}

Fault check_io(CpuCore& core, u16 port, unsigned size) noexcept {
  if (has_io_privilege(core.state)) return Fault::none();
  return check_bitmap(core, port, size);
}

}  // namespace emu
