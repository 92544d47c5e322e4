// SPDX-License-Identifier: Apache-2.0
// Layout of FXSAVE and XSAVE areas, and moving them in and out of CpuState::xsave.
// Source: Intel SDM vol. 1 ch. 10.5, 13.4-13.13.
#pragma once

#include "cpu/cpu_core.h"

namespace emu {

// State components (XCR0 bits).
inline constexpr u64 kXcr0X87 = 1u << 0, kXcr0Sse = 1u << 1, kXcr0Avx = 1u << 2,
                     kXcr0Bndregs = 1u << 3, kXcr0Bndcsr = 1u << 4, kXcr0Opmask = 1u << 5,
                     kXcr0ZmmHigh = 1u << 6, kXcr0Hi16Zmm = 1u << 7, kXcr0Pkru = 1u << 9;
inline constexpr u64 kXcr0Avx512 = kXcr0Opmask | kXcr0ZmmHigh | kXcr0Hi16Zmm;

// FXSAVE image (SDM vol. 1 table 10-2): byte offsets.
inline constexpr unsigned kFxFcw = 0, kFxFsw = 2, kFxFtw = 4, kFxFop = 6, kFxFip = 8, kFxFcs = 12,
                          kFxFdp = 16, kFxFds = 20, kFxMxcsr = 24, kFxMxcsrMask = 28, kFxSt0 = 32,
                          kFxXmm0 = 160, kFxBytes = 512;
// XSAVE header.
inline constexpr unsigned kXsaveHeader = 512, kXstateBv = 512, kXcompBv = 520,
                          kXsaveLegacyAndHeaderBytes = 576;
inline constexpr u64 kXcompBvCompacted = u64{1} << 63;
inline constexpr u32 kMxcsrReset = 0x1f80, kMxcsrMask = 0xffff;
inline constexpr u16 kFcwReset = 0x37f;

// Where component `index` (2..9) lies in the standard format, as our CPUID leaf 0Dh reports it and
// Intel hosts do; size 0 if not modelled.
struct XsaveComponent {
  u16 offset = 0;
  u16 size = 0;
};
[[nodiscard]] constexpr XsaveComponent xsave_component(unsigned index) {
  switch (index) {
    case 2:
      return {576, 256};  // AVX
    case 5:
      return {1088, 64};  // opmask
    case 6:
      return {1152, 512};  // ZMM_Hi256
    case 7:
      return {1664, 1024};  // Hi16_ZMM
    case 9:
      return {2688, 8};  // PKRU (8 bytes with padding)
    default:
      return {};
  }
}
// Bytes of an area that holds `components`, in the standard and the compacted format.
[[nodiscard]] u32 xsave_standard_bytes(u64 components) noexcept;
[[nodiscard]] u32 xsave_compacted_bytes(u64 components) noexcept;
// The offset of component `index` in a compacted area with `xcomp_bv`.
[[nodiscard]] u32 xsave_compacted_offset(u64 xcomp_bv, unsigned index) noexcept;

// Checks the first 576 bytes of an area as XRSTOR (or XRSTORS) does before loading anything:
// reserved header bytes, XSTATE_BV and XCOMP_BV against `xcr0`, MXCSR reserved bits when
// `requested` includes SSE (or AVX in the standard format). #GP(0). Source: SDM vol. 1 13.8, 13.12.
Fault check_xrstor(const u8* area, u64 xcr0, u64 requested, bool supervisor_form) noexcept;
// FXRSTOR and LDMXCSR: #GP(0) for reserved bits.
Fault check_mxcsr(u32 mxcsr) noexcept;

// Rewrites a checked area as the guest's XRSTOR would load it into `standard` (kXsaveBytes, the
// format of CpuState::xsave): requested components from the area or their initial values, others
// untouched. `area` may be in either format and has xsave_*_bytes() bytes.
void xsave_import(u8* standard, const u8* area, u64 requested) noexcept;
// Writes the components `requested` of `standard` to `area` as XSAVE (`compacted` false) or XSAVEC
// does; bytes outside them are untouched.
void xsave_export(const u8* standard, u8* area, u64 requested, bool compacted) noexcept;
// The bytes of a component whose XSTATE_BV bit is clear in `standard` have no meaning.
// Initial configuration of all components (FCW 37Fh, MXCSR 1F80h, XSTATE_BV 0).
void xsave_reset(u8* standard) noexcept;

}  // namespace emu
