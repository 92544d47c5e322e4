// SPDX-License-Identifier: Apache-2.0
// CPUID models: what a guest is told about its processor.
// Source: Intel SDM vol. 2 CPUID; host values from the CPUID instruction itself; Linux
// Documentation/virt/kvm/x86/cpuid.rst for leaves 40000000h-40000010h.
// Not modelled: the CPUID limit of IA32_MISC_ENABLE; AVX-512 on hosts that lay out XSAVE unlike
// Intel's; protection keys (native XSAVE would save the host's PKRU).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cpu/cpu_core.h"

namespace emu {

struct CpuidResult {
  u32 eax = 0, ebx = 0, ecx = 0, edx = 0;
  bool operator==(const CpuidResult&) const = default;
};

// The feature words of CPUID that models are made of, in host order.
struct CpuidFeatureWords {
  u32 leaf1_ecx = 0, leaf1_edx = 0;
  u32 leaf7_ebx = 0, leaf7_ecx = 0, leaf7_edx = 0, leaf7_1_eax = 0;
  u32 ext1_ecx = 0, ext1_edx = 0;
  u32 xsave_eax = 0;  // leaf 0Dh subleaf 1
};

// What the host can execute for a guest.
struct HostCpu {
  CpuidFeatureWords words;
  u64 xcr0 = 0;       // XGETBV(0); 0 without OSXSAVE
  u32 signature = 0;  // leaf 1 EAX
  bool is_intel = false;
  // AVX-512 components lie where xsave_component() says (AMD packs them differently).
  bool intel_xsave_layout = false;

  // The processor this runs on.
  [[nodiscard]] static HostCpu probe();
};

// What a model is built for.
struct CpuidConfig {
  std::string_view model = "default";  // see cpuid_model_names()
  unsigned cpu_count = 1;              // 1..255
  u64 tsc_hz = 0;                      // of the guest's TSC; 0: unknown, leaves 15h, 16h are zero
  u64 apic_bus_hz = 1'000'000'000;     // of the local APIC timer before its divider
};

// Immutable after building; shared by all processors of a machine; lookup() is safe in scalar code.
class CpuidModel {
 public:
  // Fails for an unknown model name (listing the known ones), a bad CPU count, or a model that
  // needs more than the host has.
  [[nodiscard]] static Result<CpuidModel> create(const CpuidConfig& config,
                                                 const HostCpu& host = HostCpu::probe());

  // The CPUID instruction. Dynamic bits follow `state`: OSXSAVE, OSPKE, leaf 0Dh sizes, the APIC
  // bit by `apic_enabled` (IA32_APIC_BASE bit 11). `apic_id` gives leaves 1, 0Bh and 1Fh.
  // Leaves out of range answer as the highest basic one does (Intel).
  [[nodiscard]] CpuidResult lookup(u32 leaf, u32 subleaf, const CpuState& state, u32 apic_id,
                                   bool apic_enabled) const noexcept;
  [[nodiscard]] const CpuFeatures& features() const noexcept { return features_; }
  // What the guest is offered.
  [[nodiscard]] const CpuidFeatureWords& words() const noexcept { return words_; }

  // A row of the table without dynamic bits, for KVM_SET_CPUID2 and for people.
  struct Row {
    u32 leaf = 0;
    u32 subleaf = 0;
    bool any_subleaf = true;  // ECX is not looked at
    CpuidResult value;
  };
  [[nodiscard]] const std::vector<Row>& rows() const noexcept { return rows_; }

 private:
  friend class CpuidBuilder;
  [[nodiscard]] const Row* find(u32 leaf, u32 subleaf) const noexcept;
  void apply_dynamic(const Row& row, const CpuState& state, u32 apic_id, bool apic_enabled,
                     CpuidResult& out) const noexcept;

  std::vector<Row> rows_;
  CpuidFeatureWords words_;
  CpuFeatures features_;
  u32 max_basic_ = 0;
  u32 max_extended_ = 0;
  u32 max_hypervisor_ = 0;
};

// The names create() knows with one line each for people, the default first.
struct CpuidModelName {
  std::string_view name;
  std::string_view description;
};
[[nodiscard]] const std::vector<CpuidModelName>& cpuid_model_names();

}  // namespace emu
