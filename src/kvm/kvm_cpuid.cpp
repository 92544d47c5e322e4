// SPDX-License-Identifier: Apache-2.0
// The CPUID model as this kernel can serve it: its features that KVM knows, and those that the
// machine's own local APIC adds.
// Source: Linux Documentation/virt/kvm/api.rst, KVM_GET_SUPPORTED_CPUID, KVM_SET_CPUID2.
#include <cerrno>

#include "cpu/cpuid_bits.h"
#include "kvm/kvm_cpu.h"
#include "kvm/kvm_table.h"

namespace emu {
namespace {

constexpr u32 kMaxRows = 4096;

Result<std::vector<kvm_cpuid_entry2>> supported_rows(const KvmVm& vm) {
  for (u32 room = 128; room <= kMaxRows; room *= 2) {
    KvmTable<kvm_cpuid_entry2> table(room);
    const long r = vm.host().call_with(vm.device_fd(), kKvmGetSupportedCpuid, table.header());
    if (r == -E2BIG) continue;
    if (r < 0) return kvm_error(r, "say what CPUID it supports");
    return std::vector<kvm_cpuid_entry2>(table.entries().begin(), table.entries().end());
  }
  return fail("KVM supports more CPUID leaves than make sense: use --accel=tcg");
}

const kvm_cpuid_entry2* find(const std::vector<kvm_cpuid_entry2>& rows, u32 leaf, u32 subleaf) {
  for (const kvm_cpuid_entry2& row : rows) {
    if (row.function != leaf) continue;
    if ((row.flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) == 0 || row.index == subleaf) return &row;
  }
  return nullptr;
}

// Keeps of `row` what the kernel has; false: leave the row out.
bool filter(CpuidResult& r, u32 leaf, u32 subleaf, const kvm_cpuid_entry2& has) {
  using namespace cpuid;
  switch (leaf) {
    case 1:
      r.ecx &= has.ecx | kX2apic | kTscDeadline | kHypervisor;
      r.edx &= has.edx | kApic | kHtt;
      return true;
    case 7:
      r.ebx &= has.ebx | kFdpExceptionOnly | kZeroFcsFds;  // facts about the host, not features
      r.ecx &= has.ecx;
      r.edx &= has.edx;
      if (subleaf == 1) r.eax &= has.eax;
      return true;
    case 0xd:
      if (subleaf < 2) r.eax &= has.eax;
      return has.eax != 0;
    case 0x80000001:
      r.ecx &= has.ecx;
      r.edx &= has.edx;
      return true;
    case 0x80000007:
      r.edx &= has.edx;
      return true;
    default:
      return true;
  }
}

}  // namespace

Result<std::vector<kvm_cpuid_entry2>> filtered_cpuid(const KvmVm& vm, const VCpuConfig& config) {
  const auto supported = supported_rows(vm);
  if (!supported) return supported.error();
  CpuState reset;
  reset_cpu(reset, false);
  std::vector<kvm_cpuid_entry2> rows;
  for (const CpuidModel::Row& row : config.cpuid->rows()) {
    CpuidResult r = config.cpuid->lookup(row.leaf, row.subleaf, reset, config.apic_id, true);
    const kvm_cpuid_entry2* has = find(*supported, row.leaf, row.subleaf);
    if (has != nullptr && !filter(r, row.leaf, row.subleaf, *has)) continue;
    if (has == nullptr && row.leaf == 0xd) continue;
    kvm_cpuid_entry2 entry{};
    entry.function = row.leaf;
    entry.index = row.subleaf;
    entry.flags = row.any_subleaf ? 0 : KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
    entry.eax = r.eax;
    entry.ebx = r.ebx;
    entry.ecx = r.ecx;
    entry.edx = r.edx;
    rows.push_back(entry);
  }
  return rows;
}

}  // namespace emu
