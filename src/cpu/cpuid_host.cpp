// SPDX-License-Identifier: Apache-2.0
// The host processor's CPUID and XCR0. Source: Intel SDM vol. 2 CPUID, XGETBV.
#include <cpuid.h>

#include "base/bits.h"
#include "cpu/cpuid_bits.h"
#include "cpu/cpuid_model.h"
#include "cpu/xsave_layout.h"

namespace emu {
namespace {

CpuidResult host_cpuid(u32 leaf, u32 subleaf) {
  CpuidResult r;
  __cpuid_count(leaf, subleaf, r.eax, r.ebx, r.ecx, r.edx);
  return r;
}

u64 host_xcr0() {
  u32 low = 0;
  u32 high = 0;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low | u64{high} << 32;
}

bool has_intel_layout(u64 xcr0) {
  for (unsigned i = 2; i < 8; ++i) {
    const XsaveComponent c = xsave_component(i);
    if (c.size == 0 || !bit(xcr0, i)) continue;
    const CpuidResult r = host_cpuid(0xd, i);
    if (r.eax != c.size || r.ebx != c.offset || (r.ecx & 2) != 0) return false;
  }
  return true;
}

}  // namespace

HostCpu HostCpu::probe() {
  HostCpu host;
  const CpuidResult leaf0 = host_cpuid(0, 0);
  const CpuidResult leaf1 = host_cpuid(1, 0);
  const CpuidResult ext1 = host_cpuid(0x80000001, 0);
  host.is_intel = leaf0.ebx == 0x756e6547 && leaf0.edx == 0x49656e69 && leaf0.ecx == 0x6c65746e;
  host.signature = leaf1.eax;
  host.words.leaf1_ecx = leaf1.ecx;
  host.words.leaf1_edx = leaf1.edx;
  host.words.ext1_ecx = ext1.ecx;
  host.words.ext1_edx = ext1.edx;
  if (leaf0.eax >= 7) {
    const CpuidResult leaf7 = host_cpuid(7, 0);
    host.words.leaf7_ebx = leaf7.ebx;
    host.words.leaf7_ecx = leaf7.ecx;
    host.words.leaf7_edx = leaf7.edx;
    if (leaf7.eax >= 1) host.words.leaf7_1_eax = host_cpuid(7, 1).eax;
  }
  if ((leaf1.ecx & cpuid::kOsxsave) != 0 && leaf0.eax >= 0xd) {
    host.xcr0 = host_xcr0();
    host.words.xsave_eax = host_cpuid(0xd, 1).eax;
    host.intel_xsave_layout = has_intel_layout(host.xcr0);
  }
  return host;
}

}  // namespace emu
