// SPDX-License-Identifier: Apache-2.0
// The CPUID instruction over a model's table. Source: Intel SDM vol. 2 CPUID.
#include "cpu/cpuid_bits.h"
#include "cpu/cpuid_model.h"
#include "cpu/xsave_layout.h"

namespace emu {

const CpuidModel::Row* CpuidModel::find(u32 leaf, u32 subleaf) const noexcept {
  for (const Row& row : rows_) {
    if (row.leaf == leaf && (row.any_subleaf || row.subleaf == subleaf)) return &row;
  }
  return nullptr;
}

void CpuidModel::apply_dynamic(const Row& row, const CpuState& state, u32 apic_id,
                               bool apic_enabled, CpuidResult& out) const noexcept {
  switch (row.leaf) {
    case 1:
      out.ebx |= apic_id << 24;
      if ((state.cr4 & kCr4Osxsave) != 0) out.ecx |= cpuid::kOsxsave;
      if (!apic_enabled) out.edx &= ~cpuid::kApic;
      break;
    case 7:
      if (row.subleaf == 0 && (state.cr4 & kCr4Pke) != 0) out.ecx |= cpuid::kOspke;
      break;
    case 0xd:
      if (row.subleaf == 0) out.ebx = xsave_standard_bytes(state.xcr0);
      if (row.subleaf == 1) out.ebx = xsave_compacted_bytes(state.xcr0 | state.xss);
      break;
    default:
      break;
  }
}

CpuidResult CpuidModel::lookup(u32 leaf, u32 subleaf, const CpuState& state, u32 apic_id,
                               bool apic_enabled) const noexcept {
  const bool known_range = leaf <= max_basic_ || (leaf >= 0x80000000 && leaf <= max_extended_) ||
                           (leaf >= 0x40000000 && leaf <= max_hypervisor_);
  if (!known_range) leaf = max_basic_;
  const Row* row = find(leaf, subleaf);
  CpuidResult out;
  if (row != nullptr) {
    out = row->value;
    apply_dynamic(*row, state, apic_id, apic_enabled, out);
  }
  if (leaf == 0xb || leaf == 0x1f) {  // these two answer for every subleaf
    if (row == nullptr) out.ecx = subleaf & 0xff;
    out.edx = apic_id;
  }
  return out;
}

}  // namespace emu
