// SPDX-License-Identifier: Apache-2.0
// What this host lets the engines do, for people: `emu doctor`.
// Threads: any.
#pragma once

#include <string>
#include <vector>

#include "kvm/kvm_probe.h"

namespace emu {

struct EngineReport {
  KvmVerdict kvm;
  HostFacts facts;
  std::string kernel_chips_missing;      // why KVM does not run interrupt controllers; else empty
  std::string processor;                 // the host's brand string
  std::string translator_missing;        // empty: the translator runs here
  std::string native_user_missing;       // empty: and guests' 64-bit programs run natively
  std::vector<std::string> guest_level;  // of CPU model "max": "x86-64-v3", "AVX-512", ...
};

// Probes KVM with a scratch machine (under 50 ms) and looks at the processor. Never fails.
[[nodiscard]] EngineReport inspect_engines();

// "usable", "no device", ...: one word or two for each state, stable for programs.
[[nodiscard]] std::string_view kvm_state_word(KvmState state);

}  // namespace emu
