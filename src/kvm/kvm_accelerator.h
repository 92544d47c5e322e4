// SPDX-License-Identifier: Apache-2.0
// KVM as an engine.
#pragma once

#include <memory>

#include "base/result.h"
#include "cpu/accelerator.h"
#include "kvm/kvm_host.h"

namespace emu {

// Makes the engine for a machine whose guest-physical memory is `memory`; both references outlive
// it. Interrupt controllers stay the machine's own: the processors' INTR lines are driven by it.
// Errors: what /dev/kvm refuses, with the remedy.
[[nodiscard]] Result<std::unique_ptr<Accelerator>> create_kvm(AddressSpace& memory,
                                                              const Clock& clock,
                                                              std::shared_ptr<KvmHost> host);

}  // namespace emu
