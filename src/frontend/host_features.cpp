// SPDX-License-Identifier: Apache-2.0
// Host CPUID -> Zydis instruction sets.
// Source: Intel SDM vol. 2 CPUID leaves 1, 7, 14h, 80000001h; vol. 1 13.3 (XCR0), 14.3, 15.3.
#include "frontend/host_features.h"

#include <cpuid.h>

#include <initializer_list>

#include "base/bits.h"
#include "base/types.h"

namespace emu {
namespace {

struct Leaf {
  u32 a = 0, b = 0, c = 0, d = 0;
};

Leaf cpuid(u32 leaf, u32 subleaf = 0) {
  Leaf r;
  if (__get_cpuid_count(leaf, subleaf, &r.a, &r.b, &r.c, &r.d) == 0) return {};
  return r;
}

u64 host_xcr0() {
  u32 low, high;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low | (u64{high} << 32);
}

class Builder {
 public:
  Builder() : l1_(cpuid(1)), l7_(cpuid(7)), l71_(cpuid(7, 1)), x1_(cpuid(0x80000001)) {
    const u64 xcr0 = bit(l1_.c, 27) ? host_xcr0() : 0;
    avx_ = bit(l1_.c, 28) && (xcr0 & 6) == 6;
    // The emitter reads 64-bit masks, so BW is wanted, too (only Xeon Phi lacks it).
    avx512_ = avx_ && bit(l7_.b, 16) && bit(l7_.b, 30) && (xcr0 & 0xe6) == 0xe6;
  }

  IsaSets build() {
    base();
    vector();
    avx512();
    return sets_;
  }

 private:
  void add(bool present, std::initializer_list<ZydisISASet> sets) {
    if (!present) return;
    for (const ZydisISASet set : sets) sets_.set(set);
  }

  void base() {
    add(true, {ZYDIS_ISA_SET_INVALID,      ZYDIS_ISA_SET_I86,           ZYDIS_ISA_SET_I186,
               ZYDIS_ISA_SET_I286REAL,     ZYDIS_ISA_SET_I286PROTECTED, ZYDIS_ISA_SET_I386,
               ZYDIS_ISA_SET_I486,         ZYDIS_ISA_SET_I486REAL,      ZYDIS_ISA_SET_PENTIUMREAL,
               ZYDIS_ISA_SET_PENTIUMMMX,   ZYDIS_ISA_SET_PPRO,          ZYDIS_ISA_SET_CMOV,
               ZYDIS_ISA_SET_FAT_NOP,      ZYDIS_ISA_SET_FCMOV,         ZYDIS_ISA_SET_FXSAVE,
               ZYDIS_ISA_SET_FXSAVE64,     ZYDIS_ISA_SET_LONGMODE,      ZYDIS_ISA_SET_X87,
               ZYDIS_ISA_SET_PAUSE,        ZYDIS_ISA_SET_PREFETCH_NOP,  ZYDIS_ISA_SET_SSE,
               ZYDIS_ISA_SET_SSE2,         ZYDIS_ISA_SET_SSE2MMX,       ZYDIS_ISA_SET_SSEMXCSR,
               ZYDIS_ISA_SET_SSE_PREFETCH, ZYDIS_ISA_SET_CLFSH,         ZYDIS_ISA_SET_MONITOR,
               ZYDIS_ISA_SET_INVPCID,      ZYDIS_ISA_SET_RDPMC,         ZYDIS_ISA_SET_RDTSCP,
               ZYDIS_ISA_SET_RDPID,        ZYDIS_ISA_SET_RDWRFSGS,      ZYDIS_ISA_SET_SMAP,
               ZYDIS_ISA_SET_PKU,          ZYDIS_ISA_SET_XSAVE,         ZYDIS_ISA_SET_XSAVEC,
               ZYDIS_ISA_SET_XSAVEOPT,     ZYDIS_ISA_SET_XSAVES,        ZYDIS_ISA_SET_CLFLUSHOPT,
               ZYDIS_ISA_SET_CLWB,         ZYDIS_ISA_SET_PREFETCHWT1,   ZYDIS_ISA_SET_CLDEMOTE});
    add(bit(x1_.c, 0), {ZYDIS_ISA_SET_LAHF});
    add(bit(x1_.c, 5), {ZYDIS_ISA_SET_LZCNT});
    add(bit(l1_.c, 13), {ZYDIS_ISA_SET_CMPXCHG16B});
    add(bit(l1_.c, 22), {ZYDIS_ISA_SET_MOVBE});
    add(bit(l1_.c, 23), {ZYDIS_ISA_SET_POPCNT});
    add(bit(l1_.c, 30), {ZYDIS_ISA_SET_RDRAND});
    add(bit(l7_.b, 18), {ZYDIS_ISA_SET_RDSEED});
    add(bit(l7_.b, 3), {ZYDIS_ISA_SET_BMI1});
    add(bit(l7_.b, 8), {ZYDIS_ISA_SET_BMI2});
    add(bit(l7_.b, 19), {ZYDIS_ISA_SET_ADOX_ADCX});
    add(bit(l7_.d, 14), {ZYDIS_ISA_SET_SERIALIZE});
    add(bit(l7_.c, 27), {ZYDIS_ISA_SET_MOVDIR});
  }

  void vector() {
    add(bit(l1_.c, 0), {ZYDIS_ISA_SET_SSE3, ZYDIS_ISA_SET_SSE3X87});
    add(bit(l1_.c, 9), {ZYDIS_ISA_SET_SSSE3, ZYDIS_ISA_SET_SSSE3MMX});
    add(bit(l1_.c, 19), {ZYDIS_ISA_SET_SSE4});
    add(bit(l1_.c, 20), {ZYDIS_ISA_SET_SSE42});
    add(bit(l1_.c, 25), {ZYDIS_ISA_SET_AES});
    add(bit(l1_.c, 1), {ZYDIS_ISA_SET_PCLMULQDQ});
    add(bit(l7_.b, 29), {ZYDIS_ISA_SET_SHA});
    add(bit(l7_.c, 8), {ZYDIS_ISA_SET_GFNI});
    add(avx_, {ZYDIS_ISA_SET_AVX});
    add(avx_ && bit(l1_.c, 25), {ZYDIS_ISA_SET_AVXAES});
    add(avx_ && bit(l7_.b, 5), {ZYDIS_ISA_SET_AVX2, ZYDIS_ISA_SET_AVX2GATHER});
    add(avx_ && bit(l1_.c, 12), {ZYDIS_ISA_SET_FMA});
    add(avx_ && bit(l1_.c, 29), {ZYDIS_ISA_SET_F16C});
    add(avx_ && bit(l7_.c, 8), {ZYDIS_ISA_SET_AVX_GFNI});
    add(avx_ && bit(l7_.c, 9), {ZYDIS_ISA_SET_VAES});
    add(avx_ && bit(l7_.c, 10), {ZYDIS_ISA_SET_VPCLMULQDQ});
    add(avx_ && bit(l71_.a, 4), {ZYDIS_ISA_SET_AVX_VNNI});
  }

  void avx512() {
    if (!avx512_) return;
    const bool vl = bit(l7_.b, 31), dq = bit(l7_.b, 17), bw = bit(l7_.b, 30);
    add(true, {ZYDIS_ISA_SET_AVX512F_512, ZYDIS_ISA_SET_AVX512F_128N, ZYDIS_ISA_SET_AVX512F_KOP,
               ZYDIS_ISA_SET_AVX512F_SCALAR});
    add(vl, {ZYDIS_ISA_SET_AVX512F_128, ZYDIS_ISA_SET_AVX512F_256});
    add(bw, {ZYDIS_ISA_SET_AVX512BW_512, ZYDIS_ISA_SET_AVX512BW_128N, ZYDIS_ISA_SET_AVX512BW_KOP});
    add(bw && vl, {ZYDIS_ISA_SET_AVX512BW_128, ZYDIS_ISA_SET_AVX512BW_256});
    add(dq, {ZYDIS_ISA_SET_AVX512DQ_512, ZYDIS_ISA_SET_AVX512DQ_128N, ZYDIS_ISA_SET_AVX512DQ_KOP,
             ZYDIS_ISA_SET_AVX512DQ_SCALAR});
    add(dq && vl, {ZYDIS_ISA_SET_AVX512DQ_128, ZYDIS_ISA_SET_AVX512DQ_256});
    triple(bit(l7_.b, 28), vl, ZYDIS_ISA_SET_AVX512CD_128, ZYDIS_ISA_SET_AVX512CD_256,
           ZYDIS_ISA_SET_AVX512CD_512);
    triple(bit(l71_.a, 5), vl, ZYDIS_ISA_SET_AVX512_BF16_128, ZYDIS_ISA_SET_AVX512_BF16_256,
           ZYDIS_ISA_SET_AVX512_BF16_512);
    triple(bit(l7_.c, 12), vl, ZYDIS_ISA_SET_AVX512_BITALG_128, ZYDIS_ISA_SET_AVX512_BITALG_256,
           ZYDIS_ISA_SET_AVX512_BITALG_512);
    triple(bit(l7_.d, 23), vl, ZYDIS_ISA_SET_AVX512_FP16_128, ZYDIS_ISA_SET_AVX512_FP16_256,
           ZYDIS_ISA_SET_AVX512_FP16_512);
    add(bit(l7_.d, 23), {ZYDIS_ISA_SET_AVX512_FP16_128N, ZYDIS_ISA_SET_AVX512_FP16_SCALAR});
    triple(bit(l7_.c, 8), vl, ZYDIS_ISA_SET_AVX512_GFNI_128, ZYDIS_ISA_SET_AVX512_GFNI_256,
           ZYDIS_ISA_SET_AVX512_GFNI_512);
    triple(bit(l7_.b, 21), vl, ZYDIS_ISA_SET_AVX512_IFMA_128, ZYDIS_ISA_SET_AVX512_IFMA_256,
           ZYDIS_ISA_SET_AVX512_IFMA_512);
    triple(bit(l7_.c, 9), vl, ZYDIS_ISA_SET_AVX512_VAES_128, ZYDIS_ISA_SET_AVX512_VAES_256,
           ZYDIS_ISA_SET_AVX512_VAES_512);
    triple(bit(l7_.c, 6), vl, ZYDIS_ISA_SET_AVX512_VBMI2_128, ZYDIS_ISA_SET_AVX512_VBMI2_256,
           ZYDIS_ISA_SET_AVX512_VBMI2_512);
    triple(bit(l7_.c, 1), vl, ZYDIS_ISA_SET_AVX512_VBMI_128, ZYDIS_ISA_SET_AVX512_VBMI_256,
           ZYDIS_ISA_SET_AVX512_VBMI_512);
    triple(bit(l7_.c, 11), vl, ZYDIS_ISA_SET_AVX512_VNNI_128, ZYDIS_ISA_SET_AVX512_VNNI_256,
           ZYDIS_ISA_SET_AVX512_VNNI_512);
    triple(bit(l7_.c, 10), vl, ZYDIS_ISA_SET_AVX512_VPCLMULQDQ_128,
           ZYDIS_ISA_SET_AVX512_VPCLMULQDQ_256, ZYDIS_ISA_SET_AVX512_VPCLMULQDQ_512);
    triple(bit(l7_.c, 14), vl, ZYDIS_ISA_SET_AVX512_VPOPCNTDQ_128,
           ZYDIS_ISA_SET_AVX512_VPOPCNTDQ_256, ZYDIS_ISA_SET_AVX512_VPOPCNTDQ_512);
    triple(bit(l7_.d, 8), vl, ZYDIS_ISA_SET_AVX512_VP2INTERSECT_128,
           ZYDIS_ISA_SET_AVX512_VP2INTERSECT_256, ZYDIS_ISA_SET_AVX512_VP2INTERSECT_512);
  }

  void triple(bool present, bool vl, ZydisISASet s128, ZydisISASet s256, ZydisISASet s512) {
    add(present && vl, {s128, s256});
    add(present, {s512});
  }

  Leaf l1_, l7_, l71_, x1_;
  bool avx_ = false, avx512_ = false;
  IsaSets sets_;
};

}  // namespace

const IsaSets& available_isa_sets() {
  static const IsaSets sets = Builder().build();
  return sets;
}

}  // namespace emu
