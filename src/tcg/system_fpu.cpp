// SPDX-License-Identifier: Apache-2.0
// FXSAVE, FXRSTOR, XSAVE, XRSTOR, FNSTENV, FLDENV, FNSAVE, FRSTOR.
// Source: Intel SDM vol. 1 8.1.8-8.1.10 (images), 10.5, 13.7-13.12; vol. 2 (each instruction).
// The host records its own addresses as the last x87 instruction; they are mapped back to guest
// RIPs here, so that none reaches the guest.
// Not modelled: FCS and FDS (deprecated: CPUID.7.EBX[13]); the operand pointer is the host's idea
// only of guest values loaded by the guest, else 0.
#include "tcg/system_fpu.h"

#include <Zydis/Mnemonic.h>

#include <array>
#include <cstring>

#include "cpu/xsave_layout.h"
#include "tcg/system_operands.h"

namespace emu {
namespace {

constexpr u16 kAllMasked = 0x3f;

bool unavailable(TcgCpu& t, u64 cr0_bits) {
  if ((t.cpu().cr0 & cr0_bits) == 0) return false;
  t.fault(Fault::plain(kVectorNm));
  return true;
}

u8* image(TcgCpu& t) {
  return t.cpu().xsave;
}

// Brings the saved image into a shape without gaps: components in their initial configuration have
// their initial bytes, the instruction pointer is the guest's, the operand pointer holds no host
// address.
void normalize(TcgCpu& t) {
  u8* x = image(t);
  const u64 present = load_le<u64>(x + kXstateBv);
  if ((present & kXcr0X87) == 0) {
    std::memset(x, 0, kFxMxcsr);
    std::memset(x + kFxSt0, 0, kFxXmm0 - kFxSt0);
    store_le(x + kFxFcw, kFcwReset);
  }
  if ((present & kXcr0Sse) == 0) std::memset(x + kFxXmm0, 0, 256);
  for (unsigned i = 2; i < 10; ++i) {
    const XsaveComponent c = xsave_component(i);
    if (c.size != 0 && !bit(present, i)) std::memset(x + c.offset, 0, c.size);
  }
  const u64 fip = load_le<u64>(x + kFxFip);
  if (t.engine().cache().code().contains(reinterpret_cast<const void*>(fip))) {
    store_le(x + kFxFip, t.guest_fip(fip));
    store_le(x + kFxFdp, u64{0});
  }
  store_le(x + kFxMxcsrMask, kMxcsrMask);
}

bool aligned(TcgCpu& t, u64 alignment) {
  if ((t.frame().exit_address & (alignment - 1)) == 0) return true;
  t.fault(Fault::gp());
  return false;
}

bool load_area(TcgCpu& t, u8* area, u32 bytes) {
  return done(t, t.read_linear(t.frame().exit_address, area, bytes, Privilege::kCurrent));
}

bool store_area(TcgCpu& t, const u8* area, u32 bytes) {
  return done(t, t.write_linear(t.frame().exit_address, area, bytes, Privilege::kCurrent));
}

u64 requested_components(const CpuState& s) {
  return ((s.gpr[kRax] & 0xffffffff) | (s.gpr[kRdx] << 32)) & s.xcr0;
}

bool xsave_available(TcgCpu& t) {
  if ((t.cpu().cr4 & kCr4Osxsave) == 0) {
    t.fault(Fault::ud());
    return false;
  }
  return !unavailable(t, kCr0Ts) && aligned(t, 64);
}

// The two-bits-a-register tag word (SDM vol. 1 8.1.7) from the abridged one.
u16 full_tag_word(const u8* x) {
  const u8 valid = x[kFxFtw];
  const unsigned top = (load_le<u16>(x + kFxFsw) >> 11) & 7;
  u16 tags = 0;
  for (unsigned r = 0; r < 8; ++r) {
    unsigned tag = 3;
    if (bit(valid, r)) {
      const u8* st = x + kFxSt0 + 16 * ((r - top) & 7);
      const u64 mantissa = load_le<u64>(st);
      const unsigned exponent = load_le<u16>(st + 8) & 0x7fff;
      const bool integer = (mantissa >> 63) != 0;
      tag = exponent == 0 && mantissa == 0                    ? 1
            : exponent == 0x7fff || exponent == 0 || !integer ? 2
                                                              : 0;
    }
    tags = static_cast<u16>(tags | tag << (2 * r));
  }
  return tags;
}

u8 abridged_tags(u16 full) {
  u8 valid = 0;
  for (unsigned r = 0; r < 8; ++r) {
    if (((full >> (2 * r)) & 3) != 3) valid = static_cast<u8>(valid | 1u << r);
  }
  return valid;
}

// Environment images: 28 bytes (32-bit operand size) or 14, in protected or real-mode layout
// (SDM vol. 1 figures 8-9 to 8-12).
struct Environment {
  u16 control, status, tags;
  u64 instruction, operand;
  u16 opcode;
};

unsigned environment_bytes(const SystemCall& c) {
  return c.operand_bytes == 2 ? 14 : 28;
}

bool real_layout(const CpuState& s) {
  return !s.protected_mode() || s.vm86();
}

void encode_environment(const CpuState& s, const SystemCall& c, const Environment& e, u8* out) {
  if (c.operand_bytes == 2) {
    store_le(out, e.control);
    store_le(out + 2, e.status);
    store_le(out + 4, e.tags);
    store_le(out + 6, static_cast<u16>(e.instruction));
    store_le(out + 8,
             static_cast<u16>(real_layout(s) ? ((e.instruction >> 4) & 0xf000) | e.opcode : 0));
    store_le(out + 10, static_cast<u16>(e.operand));
    store_le(out + 12, static_cast<u16>(real_layout(s) ? (e.operand >> 4) & 0xf000 : 0));
    return;
  }
  constexpr u32 kUpper = 0xffff0000;
  store_le(out, kUpper | e.control);
  store_le(out + 4, kUpper | e.status);
  store_le(out + 8, kUpper | e.tags);
  if (real_layout(s)) {
    store_le(out + 12, kUpper | static_cast<u16>(e.instruction));
    store_le(out + 16, static_cast<u32>(((e.instruction & 0xffff0000) >> 4) | e.opcode));
    store_le(out + 20, kUpper | static_cast<u16>(e.operand));
    store_le(out + 24, static_cast<u32>((e.operand & 0xffff0000) >> 4));
    return;
  }
  store_le(out + 12, static_cast<u32>(e.instruction));
  store_le(out + 16, u32{e.opcode} << 16);
  store_le(out + 20, static_cast<u32>(e.operand));
  store_le(out + 24, kUpper);
}

Environment decode_environment(const CpuState& s, const SystemCall& c, const u8* in) {
  Environment e{};
  if (c.operand_bytes == 2) {
    e = {load_le<u16>(in),     load_le<u16>(in + 2),  load_le<u16>(in + 4),
         load_le<u16>(in + 6), load_le<u16>(in + 10), 0};
    if (real_layout(s)) {
      e.instruction |= u64{load_le<u16>(in + 8) & 0xf000u} << 4;
      e.opcode = load_le<u16>(in + 8) & 0x7ff;
    }
    return e;
  }
  e = {load_le<u16>(in),      load_le<u16>(in + 4),
       load_le<u16>(in + 8),  load_le<u32>(in + 12),
       load_le<u32>(in + 20), static_cast<u16>(load_le<u16>(in + 18) & 0x7ff)};
  if (real_layout(s)) {
    e.instruction = (e.instruction & 0xffff) | (u64{load_le<u32>(in + 16) & 0x0ffff000u} << 4);
    e.opcode = load_le<u16>(in + 16) & 0x7ff;
  }
  return e;
}

Environment current_environment(const u8* x) {
  return {load_le<u16>(x + kFxFcw), load_le<u16>(x + kFxFsw), full_tag_word(x),
          load_le<u64>(x + kFxFip), load_le<u64>(x + kFxFdp), load_le<u16>(x + kFxFop)};
}

void set_environment(u8* x, const Environment& e) {
  store_le(x + kFxFcw, e.control);
  // ES and B follow from the exception and mask bits.
  const bool pending = (e.status & ~e.control & kAllMasked) != 0;
  store_le(x + kFxFsw, static_cast<u16>(pending ? e.status | 0x8080 : e.status & ~0x8080));
  x[kFxFtw] = abridged_tags(e.tags);
  x[kFxFtw + 1] = 0;
  store_le(x + kFxFop, e.opcode);
  store_le(x + kFxFip, e.instruction);
  store_le(x + kFxFdp, e.operand);
  store_le(x + kXstateBv, load_le<u64>(x + kXstateBv) | kXcr0X87);
}

}  // namespace

void fpu_fxsave(TcgCpu& t, const SystemCall& c) noexcept {
  if (unavailable(t, kCr0Em | kCr0Ts) || !aligned(t, 16)) return;
  normalize(t);
  CpuState& s = t.cpu();
  std::array<u8, kFxBytes> area{};
  if (!load_area(t, area.data(), kFxBytes)) return;  // bytes 464-511 stay the guest's
  std::memcpy(area.data(), s.xsave, kFxXmm0 + (s.code64() ? 256 : 128));
  if (c.operand_bytes != 8) {
    store_le(area.data() + kFxFcs, u32{0});
    store_le(area.data() + kFxFds, u32{0});
  }
  store_area(t, area.data(), kFxBytes);
}

void fpu_fxrstor(TcgCpu& t, const SystemCall& c) noexcept {
  if (unavailable(t, kCr0Em | kCr0Ts) || !aligned(t, 16)) return;
  std::array<u8, kFxBytes> area{};
  if (!load_area(t, area.data(), kFxBytes)) return;
  if (!done(t, check_mxcsr(load_le<u32>(area.data() + kFxMxcsr)))) return;
  normalize(t);
  CpuState& s = t.cpu();
  if (c.operand_bytes != 8) {
    store_le(area.data() + kFxFcs, u32{0});
    store_le(area.data() + kFxFds, u32{0});
  }
  std::memcpy(s.xsave, area.data(), kFxXmm0 + (s.code64() ? 256 : 128));
  store_le(s.xsave + kXstateBv, load_le<u64>(s.xsave + kXstateBv) | kXcr0X87 | kXcr0Sse);
}

void fpu_xsave(TcgCpu& t, const SystemCall& c) noexcept {
  if (!xsave_available(t)) return;
  const bool supervisor =
      c.mnemonic == ZYDIS_MNEMONIC_XSAVES || c.mnemonic == ZYDIS_MNEMONIC_XSAVES64;
  const bool compacted =
      supervisor || c.mnemonic == ZYDIS_MNEMONIC_XSAVEC || c.mnemonic == ZYDIS_MNEMONIC_XSAVEC64;
  CpuState& s = t.cpu();
  if (supervisor && s.cpl() != 0) return t.fault(Fault::gp());
  normalize(t);
  const u64 requested = requested_components(s);
  const u32 bytes = compacted ? xsave_compacted_bytes(requested) : xsave_standard_bytes(requested);
  alignas(64) std::array<u8, kXsaveBytes> area{};
  if (bytes > area.size() || !load_area(t, area.data(), bytes)) return;
  xsave_export(s.xsave, area.data(), requested, compacted);
  if (c.operand_bytes != 8 && (requested & kXcr0X87) != 0) {
    store_le(area.data() + kFxFcs, u32{0});
    store_le(area.data() + kFxFds, u32{0});
  }
  store_area(t, area.data(), bytes);
}

void fpu_xrstor(TcgCpu& t, const SystemCall& c) noexcept {
  if (!xsave_available(t)) return;
  const bool supervisor =
      c.mnemonic == ZYDIS_MNEMONIC_XRSTORS || c.mnemonic == ZYDIS_MNEMONIC_XRSTORS64;
  CpuState& s = t.cpu();
  if (supervisor && s.cpl() != 0) return t.fault(Fault::gp());
  const u64 requested = requested_components(s);
  alignas(64) std::array<u8, kXsaveBytes> area{};
  if (!load_area(t, area.data(), kXsaveLegacyAndHeaderBytes)) return;
  if (!done(t, check_xrstor(area.data(), s.xcr0, requested, supervisor))) return;
  const u64 xcomp = load_le<u64>(area.data() + kXcompBv);
  const bool compacted = (xcomp & kXcompBvCompacted) != 0;
  const u64 present = load_le<u64>(area.data() + kXstateBv) & requested;
  const u32 bytes =
      compacted ? xsave_compacted_bytes(xcomp & ~kXcompBvCompacted) : xsave_standard_bytes(present);
  if (bytes > area.size()) return t.fault(Fault::gp());
  if (bytes > kXsaveLegacyAndHeaderBytes && !load_area(t, area.data(), bytes)) return;
  if (c.operand_bytes != 8) {
    store_le(area.data() + kFxFcs, u32{0});
    store_le(area.data() + kFxFds, u32{0});
  }
  normalize(t);
  xsave_import(s.xsave, area.data(), requested);
}

void fpu_fnstenv(TcgCpu& t, const SystemCall& c) noexcept {
  if (unavailable(t, kCr0Em | kCr0Ts)) return;
  normalize(t);
  u8* x = image(t);
  u8 area[28];
  encode_environment(t.cpu(), c, current_environment(x), area);
  if (!store_area(t, area, environment_bytes(c))) return;
  store_le(x + kFxFcw, static_cast<u16>(load_le<u16>(x + kFxFcw) | kAllMasked));
  store_le(x + kFxFsw, static_cast<u16>(load_le<u16>(x + kFxFsw) & ~0x8080));
  store_le(x + kXstateBv, load_le<u64>(x + kXstateBv) | kXcr0X87);
}

void fpu_fldenv(TcgCpu& t, const SystemCall& c) noexcept {
  if (unavailable(t, kCr0Em | kCr0Ts)) return;
  u8 area[28];
  if (!load_area(t, area, environment_bytes(c))) return;
  normalize(t);
  set_environment(image(t), decode_environment(t.cpu(), c, area));
}

void fpu_fnsave(TcgCpu& t, const SystemCall& c) noexcept {
  if (unavailable(t, kCr0Em | kCr0Ts)) return;
  normalize(t);
  u8* x = image(t);
  const unsigned head = environment_bytes(c);
  u8 area[28 + 80];
  encode_environment(t.cpu(), c, current_environment(x), area);
  for (unsigned i = 0; i < 8; ++i) std::memcpy(area + head + 10 * i, x + kFxSt0 + 16 * i, 10);
  if (!store_area(t, area, head + 80)) return;
  store_le(x + kXstateBv, load_le<u64>(x + kXstateBv) & ~kXcr0X87);  // as FNINIT
  normalize(t);
}

void fpu_frstor(TcgCpu& t, const SystemCall& c) noexcept {
  if (unavailable(t, kCr0Em | kCr0Ts)) return;
  const unsigned head = environment_bytes(c);
  u8 area[28 + 80];
  if (!load_area(t, area, head + 80)) return;
  normalize(t);
  u8* x = image(t);
  for (unsigned i = 0; i < 8; ++i) {
    std::memset(x + kFxSt0 + 16 * i, 0, 16);
    std::memcpy(x + kFxSt0 + 16 * i, area + head + 10 * i, 10);
  }
  set_environment(x, decode_environment(t.cpu(), c, area));
}

}  // namespace emu
