// SPDX-License-Identifier: Apache-2.0
// A stack as a far transfer or a delivery works on it before anything is committed.
// Internal to src/cpu.
// Source: Intel SDM vol. 3 5.8.5, 6.12.1, 6.14; vol. 1 6.2.
#pragma once

#include "cpu/cpu_core.h"
#include "cpu/segmentation.h"

namespace emu {

class StackFrame {
 public:
  // The stack in use. Limit violations are #SS(0).
  [[nodiscard]] static StackFrame current(CpuCore& core) noexcept;
  // The stack in use, addressed as in 64-bit mode (a call gate from compatibility mode).
  [[nodiscard]] static StackFrame current64(CpuCore& core) noexcept;
  // Another level's stack outside long mode; `fault_code` goes with its #SS.
  [[nodiscard]] static StackFrame of_segment(CpuCore& core, const Segment& ss, u64 sp,
                                             Privilege who, u32 fault_code) noexcept;
  // A 64-bit mode stack.
  [[nodiscard]] static StackFrame flat(CpuCore& core, u64 sp, Privilege who) noexcept;

  // Makes sure that `count` pushes of `bytes` each will succeed: #SS or #PF, else nothing.
  Fault reserve(unsigned count, unsigned bytes) noexcept;
  Fault push(u64 value, unsigned bytes) noexcept;
  Fault pop(unsigned bytes, u64& value) noexcept;
  // Moves past parameters, without an access.
  void skip(u64 bytes) noexcept { sp_ = (sp_ + bytes) & mask_; }
  // Reads at `offset` above the top without moving it.
  Fault peek(u64 offset, unsigned bytes, u64& value) noexcept;

  // RSP with this stack pointer in it: a 16-bit one keeps the upper bits of `old_rsp`.
  [[nodiscard]] u64 rsp(u64 old_rsp) const noexcept;

 private:
  StackFrame(CpuCore& core, const Segment& ss, u64 sp, bool flat, Privilege who,
             u32 fault_code) noexcept;
  Fault check(u64 offset, u64 bytes) const noexcept;
  [[nodiscard]] LinearAddr linear(u64 offset) const noexcept;

  CpuCore& core_;
  Segment ss_;
  u64 sp_;
  u64 mask_;
  bool flat_;
  Privilege who_;
  u32 fault_code_;
};

// SS:SP for privilege level `level` (0..2) from a 16- or 32-bit TSS. #TS(TR).
Fault read_inner_stack(CpuCore& core, unsigned level, u16& ss, u64& sp) noexcept;
// An 8-byte stack pointer at `offset` of a 64-bit TSS: 4 + 8 * level, or 28 + 8 * IST. #TS(TR).
Fault read_tss_rsp(CpuCore& core, unsigned offset, u64& rsp) noexcept;
// Checks and unpacks the SS of an inner level. #TS(selector), #SS(selector); sets accessed.
Fault load_inner_ss(CpuCore& core, u16 selector, unsigned level, Segment& out) noexcept;

}  // namespace emu
