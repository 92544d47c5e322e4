// SPDX-License-Identifier: Apache-2.0
// XSAVE area layout. Source: Intel SDM vol. 1 10.5, 13.4-13.12.
#include "base/bits.h"
#include "cpu/xsave_layout.h"

namespace emu {
namespace {

constexpr unsigned kFirstExtended = 2;
constexpr unsigned kComponents = 10;
constexpr unsigned kXmmEnd = 416;

// String instructions: the library's functions may use vector registers.
void copy_bytes(u8* to, const u8* from, u64 count) {
  asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
}

void zero_bytes(u8* to, u64 count) {
  asm volatile("rep stosb" : "+D"(to), "+c"(count) : "a"(0) : "memory");
}

// x87: FCW..FDS, ST0-ST7. MXCSR sits in between and belongs to SSE.
void copy_x87(u8* to, const u8* from) {
  copy_bytes(to, from, kFxMxcsr);
  copy_bytes(to + kFxSt0, from + kFxSt0, kFxXmm0 - kFxSt0);
}

void reset_x87(u8* area) {
  zero_bytes(area, kFxMxcsr);
  zero_bytes(area + kFxSt0, kFxXmm0 - kFxSt0);
  area[kFxFcw] = kFcwReset & 0xff;
  area[kFxFcw + 1] = kFcwReset >> 8;
}

struct Area {
  const u8* bytes;
  u64 present;   // XSTATE_BV
  u64 xcomp_bv;  // 0 in the standard format
  [[nodiscard]] bool compacted() const { return (xcomp_bv & kXcompBvCompacted) != 0; }
  [[nodiscard]] u32 offset(unsigned index) const {
    return compacted() ? xsave_compacted_offset(xcomp_bv, index) : xsave_component(index).offset;
  }
};

// `was_in_use`: the component did not have its initial value, which is all zeros, so far.
void import_component(u8* standard, const Area& area, unsigned index, bool was_in_use) {
  const XsaveComponent c = xsave_component(index);
  if (bit(area.present, index)) {
    copy_bytes(standard + c.offset, area.bytes + area.offset(index), c.size);
  } else if (was_in_use) {
    zero_bytes(standard + c.offset, c.size);
  }
}

void import_sse(u8* standard, const Area& area, u64 requested) {
  const bool present = (area.present & kXcr0Sse) != 0;
  if ((requested & kXcr0Sse) != 0) {
    if (present) {
      copy_bytes(standard + kFxXmm0, area.bytes + kFxXmm0, kXmmEnd - kFxXmm0);
    } else {
      zero_bytes(standard + kFxXmm0, kXmmEnd - kFxXmm0);
    }
  }
  // MXCSR: the standard form loads it for SSE or AVX whatever XSTATE_BV says; the compacted form
  // with SSE, from the area or to its initial value (SDM vol. 1 13.8.1, 13.8.2).
  if (!area.compacted()) {
    if ((requested & (kXcr0Sse | kXcr0Avx)) != 0) {
      store_le<u32>(standard + kFxMxcsr, load_le<u32>(area.bytes + kFxMxcsr));
    }
  } else if ((requested & kXcr0Sse) != 0) {
    store_le<u32>(standard + kFxMxcsr, present ? load_le<u32>(area.bytes + kFxMxcsr) : kMxcsrReset);
  }
}

// x87 and XMM registers; a component that is not in use is written with its initial values,
// whatever stale bytes `standard` holds (XSAVEOPT leaves them there).
void export_legacy(const u8* standard, u8* area, u64 written, u64 in_use) {
  if ((written & in_use & kXcr0X87) != 0) {
    copy_x87(area, standard);
  } else if ((written & kXcr0X87) != 0) {
    reset_x87(area);
  }
  if ((written & in_use & kXcr0Sse) != 0) {
    copy_bytes(area + kFxXmm0, standard + kFxXmm0, kXmmEnd - kFxXmm0);
  } else if ((written & kXcr0Sse) != 0) {
    zero_bytes(area + kFxXmm0, kXmmEnd - kFxXmm0);
  }
}

}  // namespace

u32 xsave_standard_bytes(u64 components) noexcept {
  u32 bytes = kXsaveLegacyAndHeaderBytes;
  for (unsigned i = kFirstExtended; i < kComponents; ++i) {
    const XsaveComponent c = xsave_component(i);
    if (bit(components, i) && c.size != 0) bytes = c.offset + u32{c.size};
  }
  return bytes;
}

u32 xsave_compacted_offset(u64 xcomp_bv, unsigned index) noexcept {
  u32 offset = kXsaveLegacyAndHeaderBytes;
  for (unsigned i = kFirstExtended; i < index && i < kComponents; ++i) {
    if (bit(xcomp_bv, i)) offset += xsave_component(i).size;
  }
  return offset;  // none of the modelled components is 64-byte aligned by CPUID.0Dh.ECX[1]
}

u32 xsave_compacted_bytes(u64 components) noexcept {
  return xsave_compacted_offset(components, kComponents);
}

Fault check_mxcsr(u32 mxcsr) noexcept {
  return (mxcsr & ~kMxcsrMask) != 0 ? Fault::gp() : Fault::none();
}

Fault check_xrstor(const u8* area, u64 xcr0, u64 requested, bool supervisor_form) noexcept {
  const u64 present = load_le<u64>(area + kXstateBv);
  const u64 xcomp = load_le<u64>(area + kXcompBv);
  const bool compacted = (xcomp & kXcompBvCompacted) != 0;
  u64 reserved = 0;
  for (unsigned i = kXcompBv + 8; i < kXsaveLegacyAndHeaderBytes; i += 8) {
    if (compacted || i < kXcompBv + 16) reserved |= load_le<u64>(area + i);
  }
  if (reserved != 0 || (supervisor_form && !compacted)) return Fault::gp();
  if (!compacted && (xcomp != 0 || (present & ~xcr0) != 0)) return Fault::gp();
  if (compacted) {
    const u64 components = xcomp & ~kXcompBvCompacted;
    if ((components & ~xcr0) != 0 || (present & ~components) != 0) return Fault::gp();
  }
  const bool loads_mxcsr =
      compacted ? (requested & present & kXcr0Sse) != 0 : (requested & (kXcr0Sse | kXcr0Avx)) != 0;
  return loads_mxcsr ? check_mxcsr(load_le<u32>(area + kFxMxcsr)) : Fault::none();
}

void xsave_import(u8* standard, const u8* area, u64 requested) noexcept {
  const Area in{area, load_le<u64>(area + kXstateBv), load_le<u64>(area + kXcompBv)};
  if ((requested & kXcr0X87) != 0) {
    if ((in.present & kXcr0X87) != 0) {
      copy_x87(standard, area);
    } else {
      reset_x87(standard);
    }
  }
  import_sse(standard, in, requested);
  const u64 old = load_le<u64>(standard + kXstateBv);
  for (unsigned i = kFirstExtended; i < kComponents; ++i) {
    if (bit(requested, i)) import_component(standard, in, i, bit(old, i));
  }
  store_le<u64>(standard + kXstateBv, (old & ~requested) | (in.present & requested));
}

void xsave_export(const u8* standard, u8* area, u64 requested, bool compacted) noexcept {
  const u64 in_use = load_le<u64>(standard + kXstateBv);
  // XSAVEC leaves components in their initial configuration out; XSAVE writes them (13.7, 13.10).
  const u64 written = compacted ? requested & in_use : requested;
  export_legacy(standard, area, written, in_use);
  if ((compacted ? written & kXcr0Sse : requested & (kXcr0Sse | kXcr0Avx)) != 0) {
    store_le<u32>(area + kFxMxcsr, load_le<u32>(standard + kFxMxcsr));
    store_le<u32>(area + kFxMxcsrMask, kMxcsrMask);
  }
  const u64 xcomp = compacted ? requested | kXcompBvCompacted : 0;
  for (unsigned i = kFirstExtended; i < kComponents; ++i) {
    if (!bit(written, i)) continue;
    const XsaveComponent c = xsave_component(i);
    u8* to = area + (compacted ? xsave_compacted_offset(xcomp, i) : c.offset);
    if (bit(in_use, i)) {
      copy_bytes(to, standard + c.offset, c.size);
    } else {
      zero_bytes(to, c.size);
    }
  }
  const u64 old = load_le<u64>(area + kXstateBv);
  store_le<u64>(area + kXstateBv,
                compacted ? requested & in_use : (old & ~requested) | (requested & in_use));
  if (compacted) store_le<u64>(area + kXcompBv, xcomp);
}

void xsave_reset(u8* standard) noexcept {
  zero_bytes(standard, kXsaveBytes);
  reset_x87(standard);
  store_le<u32>(standard + kFxMxcsr, kMxcsrReset);
  store_le<u32>(standard + kFxMxcsrMask, kMxcsrMask);
}

}  // namespace emu
