// SPDX-License-Identifier: Apache-2.0
// CPUID models: what a guest is told about its processor.
// Source: Intel SDM vol. 2 CPUID; host values from the CPUID instruction itself.
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

// What a model is built for. `topology` values are per machine.
struct CpuidConfig {
  std::string_view model = "default";  // see cpuid_model_names()
  unsigned cpu_count = 1;              // 1..255
  u64 tsc_hz = 0;                      // of the guest's TSC; 0: measure nothing, leave leaves out
  u64 apic_bus_hz = 1'000'000'000;     // of the local APIC timer before its divider
};

// Immutable after building; shared by all processors of a machine; lookup() is safe in scalar code.
class CpuidModel {
 public:
  // Fails for an unknown model name, listing the known ones.
  [[nodiscard]] static Result<CpuidModel> create(const CpuidConfig& config);

  // The CPUID instruction. Dynamic bits follow `state`: OSXSAVE, OSPKE, leaf 0Dh sizes, the APIC
  // bit by `apic_enabled` (IA32_APIC_BASE bit 11). `apic_id` gives leaves 1, 0Bh and 1Fh.
  // Out-of-range leaves answer as the highest basic leaf does (Intel).
  [[nodiscard]] CpuidResult lookup(u32 leaf, u32 subleaf, const CpuState& state, u32 apic_id,
                                   bool apic_enabled) const noexcept;
  [[nodiscard]] const CpuFeatures& features() const noexcept { return features_; }

  // A row of the table, for KVM_SET_CPUID2 and for people. `any_subleaf`: ECX is not looked at.
  struct Row {
    u32 leaf = 0;
    u32 subleaf = 0;
    bool any_subleaf = true;
    CpuidResult value;
  };
  [[nodiscard]] const std::vector<Row>& rows() const noexcept { return rows_; }

 private:
  std::vector<Row> rows_;
  CpuFeatures features_;
  unsigned cpu_count_ = 1;
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
