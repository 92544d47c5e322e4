// SPDX-License-Identifier: Apache-2.0
// Every mode bit the translator may look at, packed: part of the key of a translated block.
#pragma once

#include "base/types.h"

namespace emu {

enum class CodeSize : u8 { k16, k32, k64 };

// Which rights generated loads and stores have: selects one of the vCPU's TLB sets.
enum class MemorySet : u8 {
  kSupervisor,     // CPL < 3 with SMAP in force: user pages fault
  kSupervisorAny,  // CPL < 3, SMAP off or EFLAGS.AC set
  kUser,           // CPL 3
};
inline constexpr unsigned kMemorySets = 3;

// Two blocks with equal bytes, RIP and mode have equal translations. A mode bit that changes while
// a guest runs must end the block that changes it.
struct TranslationMode {
  u32 code_size : 2 = 0;   // CodeSize: CS.L, CS.D
  u32 stack_size : 2 = 0;  // CodeSize: SS.B, or 64
  u32 cpl : 2 = 0;
  u32 memory_set : 2 = 0;      // MemorySet
  u32 protected_mode : 1 = 0;  // CR0.PE
  u32 vm86 : 1 = 0;
  u32 long_mode : 1 = 0;  // EFER.LMA
  u32 smm : 1 = 0;
  u32 flat_segments : 6 = 0;  // bit SegmentIndex: base 0, limit 4 GiB, readable, and writable if
                              // not CS. In 64-bit code only FS and GS have bases at all.
  u32 single_step : 1 = 0;    // translate one instruction only (TF, shadows, breakpoints, options)
  u32 always_slow : 1 = 0;    // every access takes the slow path (#AC on, data breakpoints)
  u32 fpu_em : 1 = 0;         // CR0.EM
  u32 fpu_ts : 1 = 0;         // CR0.TS
  u32 fpu_mp : 1 = 0;         // CR0.MP
  u32 osfxsr : 1 = 0;         // CR4.OSFXSR
  u32 avx : 1 = 0;            // CR4.OSXSAVE and XCR0 has SSE and AVX
  u32 avx512 : 1 = 0;         // and opmask, ZMM_Hi256, Hi16_ZMM
  u32 umip : 1 = 0;
  u32 tsd : 1 = 0;       // CR4.TSD
  u32 iopl_ok : 1 = 0;   // CPL <= IOPL
  u32 fsgsbase : 1 = 0;  // CR4.FSGSBASE
  u32 unshared : 1 = 0;  // not of the machine: every access has its own TLB check
  u32 reserved : 1 = 0;

  bool operator==(const TranslationMode&) const = default;
  [[nodiscard]] u32 packed() const { return __builtin_bit_cast(u32, *this); }
  [[nodiscard]] CodeSize code() const { return static_cast<CodeSize>(code_size); }
  [[nodiscard]] bool code64() const { return code() == CodeSize::k64; }
};
static_assert(sizeof(TranslationMode) == sizeof(u32));

}  // namespace emu
