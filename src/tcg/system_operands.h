// SPDX-License-Identifier: Apache-2.0
// Operand and stack access for system handlers. Scalar code.
#pragma once

#include "base/bits.h"
#include "cpu/segmentation.h"
#include "tcg/system_handlers.h"
#include "tcg/tcg_cpu.h"

namespace emu {

// Writes the low `bytes` of a general register as a `bytes`-sized operation does: 4 zero-extends,
// 1 and 2 keep the rest.
inline void write_gpr(CpuState& s, unsigned index, unsigned bytes, u64 value) noexcept {
  u64& r = s.gpr[index & 15];
  if (bytes >= 4) {
    r = value & byte_mask(bytes);
  } else {
    r = (r & ~byte_mask(bytes)) | (value & byte_mask(bytes));
  }
}

inline u64 read_gpr(const CpuState& s, unsigned index, unsigned bytes) noexcept {
  return s.gpr[index & 15] & byte_mask(bytes);
}

// The register-or-memory operand, `bytes` wide; false after a fault was delivered.
inline bool read_operand(TcgCpu& t, const SystemCall& c, unsigned reg, unsigned bytes,
                         u64& value) noexcept {
  if (!c.memory) {
    value = read_gpr(t.cpu(), reg, bytes);
    return true;
  }
  u64 raw = 0;
  const Fault f = t.read_linear(t.frame().exit_address, reinterpret_cast<u8*>(&raw), bytes,
                                Privilege::kCurrent);
  if (f) t.fault(f);
  value = raw;
  return !f;
}

inline bool write_operand(TcgCpu& t, const SystemCall& c, unsigned reg, unsigned bytes,
                          u64 value) noexcept {
  if (!c.memory) {
    write_gpr(t.cpu(), reg, bytes, value);
    return true;
  }
  const Fault f = t.write_linear(t.frame().exit_address, reinterpret_cast<const u8*>(&value), bytes,
                                 Privilege::kCurrent);
  if (f) t.fault(f);
  return !f;
}

// Whether the operation went well; delivers the fault otherwise.
inline bool done(TcgCpu& t, const Fault& f) noexcept {
  if (f) t.fault(f);
  return !f;
}

// The stack pointer's width in bits by SS.B or 64-bit mode, as a mask.
inline u64 stack_mask(const CpuState& s) noexcept {
  if (s.code64()) return ~u64{0};
  return (s.segments[kSs].attributes & kSegBig) != 0 ? 0xffffffff : 0xffff;
}

inline void set_stack_pointer(CpuState& s, u64 value) noexcept {
  const u64 mask = stack_mask(s);
  s.gpr[kRsp] = (s.gpr[kRsp] & ~mask) | (value & mask);
}

// Reads what a pop of `bytes` would, without moving the stack pointer.
inline bool peek_stack(TcgCpu& t, unsigned bytes, u64& value) noexcept {
  CpuState& s = t.cpu();
  const u64 sp = s.gpr[kRsp] & stack_mask(s);
  if (!done(t, check_segment_access(s, kSs, sp, bytes, false))) return false;
  u64 raw = 0;
  const Fault f = t.read_linear(segment_linear(s, kSs, sp).value, reinterpret_cast<u8*>(&raw),
                                bytes, Privilege::kCurrent);
  value = raw;
  return done(t, f);
}

inline bool push_stack(TcgCpu& t, unsigned bytes, u64 value) noexcept {
  CpuState& s = t.cpu();
  const u64 sp = (s.gpr[kRsp] - bytes) & stack_mask(s);
  if (!done(t, check_segment_access(s, kSs, sp, bytes, true))) return false;
  const Fault f = t.write_linear(segment_linear(s, kSs, sp).value,
                                 reinterpret_cast<const u8*>(&value), bytes, Privilege::kCurrent);
  if (!done(t, f)) return false;
  set_stack_pointer(s, sp);
  return true;
}

}  // namespace emu
