// SPDX-License-Identifier: Apache-2.0
// Source: Intel SDM vol. 2 CPUID leaves 80000002h-80000004h; x86-64 psABI 1.0, table 3.1 (levels).
#include "machine/engine_report.h"

#include <cpuid.h>

#include <cstring>

#include "cpu/cpuid_bits.h"
#include "cpu/cpuid_model.h"
#include "tcg/tcg_accelerator.h"

namespace emu {
namespace {

std::string brand_string() {
  char text[49] = {};
  for (u32 i = 0; i < 3; ++i) {
    u32 r[4] = {};
    if (__get_cpuid(0x80000002 + i, &r[0], &r[1], &r[2], &r[3]) == 0) return "unknown processor";
    std::memcpy(text + 16 * i, r, sizeof r);
  }
  std::string brand(text);
  const auto first = brand.find_first_not_of(' ');
  return first == std::string::npos ? "unknown processor" : brand.substr(first);
}

std::vector<std::string> level_of(const CpuidFeatureWords& w) {
  using namespace cpuid;
  const auto has = [](u32 word, u32 bits) { return (word & bits) == bits; };
  const bool v2 = has(w.leaf1_ecx, kSse3 | kSsse3 | kSse41 | kSse42 | kPopcnt | kCx16);
  const bool v3 = v2 && has(w.leaf1_ecx, kAvx | kFma | kF16c | kMovbe) &&
                  has(w.leaf7_ebx, kAvx2 | kBmi1 | kBmi2) && has(w.ext1_ecx, kLzcnt);
  const bool v4 = v3 && has(w.leaf7_ebx, kAvx512f | kAvx512dq | kAvx512cd | kAvx512bw | kAvx512vl);
  std::vector<std::string> out;
  out.emplace_back(v4 ? "x86-64-v4" : v3 ? "x86-64-v3" : v2 ? "x86-64-v2" : "x86-64");
  if (has(w.leaf1_ecx, kAes)) out.emplace_back("AES");
  if (has(w.leaf7_ebx, kSha)) out.emplace_back("SHA");
  if (has(w.leaf1_ecx, kRdrand)) out.emplace_back("RDRAND");
  if (has(w.leaf1_ecx, kX2apic)) out.emplace_back("x2APIC");
  return out;
}

}  // namespace

EngineReport inspect_engines() {
  EngineReport report;
  report.facts = HostFacts::collect();
  report.kvm = probe_kvm(make_kvm_host(), report.facts);
  report.kernel_chips_missing = missing_kernel_chips(make_kvm_host());
  report.processor = brand_string();
  if (!__builtin_cpu_supports("bmi2")) {
    report.translator_missing = "the processor lacks BMI2 (Intel since 2013, AMD since 2015)";
  }
  report.native_user_missing = native_user_missing();
  CpuidConfig config;
  config.model = "max";
  if (const auto model = CpuidModel::create(config)) report.guest_level = level_of(model->words());
  return report;
}

std::string_view kvm_state_word(KvmState state) {
  switch (state) {
    case KvmState::kUsable:
      return "usable";
    case KvmState::kNoDevice:
      return "no-device";
    case KvmState::kNoPermission:
      return "no-permission";
    case KvmState::kNoModule:
      return "no-module";
    case KvmState::kTooOld:
      return "too-old";
    case KvmState::kRefused:
      return "refused";
    case KvmState::kEmulated:
      return "emulated";
  }
  return "refused";
}

}  // namespace emu
