// SPDX-License-Identifier: Apache-2.0
// KVM as an engine.
#pragma once

#include <memory>

#include "base/result.h"
#include "cpu/accelerator.h"
#include "kvm/kvm_host.h"

namespace emu {

struct KvmOptions {
  // Which interrupt controllers the kernel runs; with kUser the machine drives the INTR lines.
  ChipPlace chips = ChipPlace::kUser;
  // If the kernel does not run these, the machine's own will do.
  bool chips_may_differ = false;
};

// Makes the engine for a machine whose guest-physical memory is `memory`; both references outlive
// it. Errors: what /dev/kvm refuses, with the remedy.
[[nodiscard]] Result<std::unique_ptr<Accelerator>> create_kvm(AddressSpace& memory,
                                                              const Clock& clock,
                                                              std::shared_ptr<KvmHost> host,
                                                              const KvmOptions& options = {});

}  // namespace emu
