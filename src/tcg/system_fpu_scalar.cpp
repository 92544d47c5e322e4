// SPDX-License-Identifier: Apache-2.0
// Entry points of the FPU state instructions: move the registers to memory, then do the work in
// system_fpu.cpp, where vector registers are free. The 64-bit forms of XSAVE and XRSTOR, which
// kernels execute at every context switch and signal, are the host's own, on guest memory or a copy
// of it. Source: Intel SDM vol. 1 13.7-13.12, 8.1.8.
#include "tcg/system_fpu.h"

#include <Zydis/Mnemonic.h>

#include "cpu/xsave_layout.h"
#include "tcg/system_operands.h"

namespace emu {
namespace {

constexpr u64 kHostComponents = kXcr0X87 | kXcr0Sse | kXcr0Avx | kXcr0Avx512;

// The components asked for, if the host's instruction may do what the guest's asks: it raises
// nothing and means the same registers; else 0.
u64 host_components(TcgCpu& t, const SystemCall& c, bool supervisor) {
  const CpuState& s = t.cpu();
  const u64 requested = ((s.gpr[kRax] & 0xffffffff) | (s.gpr[kRdx] << 32)) & s.xcr0;
  const bool plain = t.engine().options().host_xsave && t.vectors_live() && c.operand_bytes == 8 &&
                     (s.cr4 & kCr4Osxsave) != 0 && (s.cr0 & kCr0Ts) == 0 && (s.dr7 & 0xff) == 0 &&
                     (t.frame().exit_address & 63) == 0 && !(supervisor && s.cpl() != 0);
  return plain && (requested & ~kHostComponents) == 0 ? requested : 0;
}

bool has_compaction(const TcgCpu& t) {
  constexpr u32 kXsavec = 2;  // CPUID.(0Dh,1).EAX; offered only if the host has it
  return (t.config().cpuid->words().xsave_eax & kXsavec) != 0;
}

// The host's memory for all of a linear range, or null.
u8* whole_range(TcgCpu& t, u64 linear, u32 bytes) {
  Fault fault;
  u8* const first = t.bulk_host(linear, true, fault);
  const u64 room = kPageBytes - (linear & (kPageBytes - 1));
  if (first == nullptr || bytes <= room) return first;
  return t.bulk_host(linear + room, true, fault) == first + room ? first : nullptr;
}

// The host notes its own addresses as those of x87 instructions.
void mend_instruction_pointer(TcgCpu& t, u8* area) {
  if ((load_le<u64>(area + kXstateBv) & kXcr0X87) == 0) return;
  const u64 fip = load_le<u64>(area + kFxFip);
  if (!t.engine().cache().code().contains(reinterpret_cast<const void*>(fip))) return;
  store_le(area + kFxFip, t.guest_fip(fip));
  store_le(area + kFxFdp, u64{0});
}

void host_xsave(TcgCpu& t, u8* area, u64 components, bool compacted) {
  const u32 low = static_cast<u32>(components), high = static_cast<u32>(components >> 32);
  if (compacted) {
    asm volatile("xsavec64 (%0)" : : "r"(area), "a"(low), "d"(high) : "memory");
  } else {
    asm volatile("xsave64 (%0)" : : "r"(area), "a"(low), "d"(high) : "memory");
  }
  mend_instruction_pointer(t, area);
}

bool save_by_host(TcgCpu& t, const SystemCall& c) {
  const bool supervisor = c.mnemonic == ZYDIS_MNEMONIC_XSAVES64;
  const bool compacted = supervisor || c.mnemonic == ZYDIS_MNEMONIC_XSAVEC64;
  const u64 components = host_components(t, c, supervisor);
  if (components == 0 || (compacted && !has_compaction(t))) return false;
  const u32 bytes =
      compacted ? xsave_compacted_bytes(components) : xsave_standard_bytes(components);
  const u64 linear = t.frame().exit_address;
  if (bytes > kXsaveBytes) return false;
  if (u8* const direct = whole_range(t, linear, bytes)) {
    host_xsave(t, direct, components, compacted);
    return true;
  }
  // What the instruction leaves alone stays the guest's.
  alignas(64) u8 area[kXsaveBytes];
  if (!done(t, t.read_linear(linear, area, bytes, Privilege::kCurrent))) return true;
  host_xsave(t, area, components, compacted);
  done(t, t.write_linear(linear, area, bytes, Privilege::kCurrent));
  return true;
}

// From a copy: what was checked must not change before it is loaded.
bool restore_by_host(TcgCpu& t, const SystemCall& c) {
  const bool supervisor = c.mnemonic == ZYDIS_MNEMONIC_XRSTORS64;
  const u64 components = host_components(t, c, supervisor);
  if (components == 0) return false;
  const u64 linear = t.frame().exit_address;
  constexpr u32 kHead = kXsaveLegacyAndHeaderBytes;
  alignas(64) u8 area[kXsaveBytes];
  if (!done(t, t.read_linear(linear, area, kHead, Privilege::kCurrent))) return true;
  if (!done(t, check_xrstor(area, t.cpu().xcr0, components, supervisor))) return true;
  const u64 xcomp = load_le<u64>(area + kXcompBv);
  const bool compacted = (xcomp & kXcompBvCompacted) != 0;
  const u64 laid_out = xcomp & ~kXcompBvCompacted;
  const u64 present = load_le<u64>(area + kXstateBv) & components;
  if ((laid_out & ~kHostComponents) != 0 || (compacted && !has_compaction(t))) return false;
  const u32 bytes = compacted ? xsave_compacted_bytes(laid_out) : xsave_standard_bytes(present);
  if (bytes > kXsaveBytes) return false;
  if (bytes > kHead &&
      !done(t, t.read_linear(linear + kHead, area + kHead, bytes - kHead, Privilege::kCurrent))) {
    return true;
  }
  const u32 low = static_cast<u32>(components), high = static_cast<u32>(components >> 32);
  asm volatile("xrstor64 (%0)" : : "r"(area), "a"(low), "d"(high) : "memory");
  return true;
}

}  // namespace

void system_fxsave(TcgCpu& t, const SystemCall& c) noexcept {
  t.save_vectors();
  fpu_fxsave(t, c);
}

void system_fxrstor(TcgCpu& t, const SystemCall& c) noexcept {
  t.save_vectors();
  fpu_fxrstor(t, c);
}

void system_xsave(TcgCpu& t, const SystemCall& c) noexcept {
  if (save_by_host(t, c)) return;
  t.save_vectors();
  fpu_xsave(t, c);
}

void system_xrstor(TcgCpu& t, const SystemCall& c) noexcept {
  if (restore_by_host(t, c)) return;
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
