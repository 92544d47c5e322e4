// SPDX-License-Identifier: Apache-2.0
// Which engine runs the machine, and why: --accel as the user gave it, against what the host has.
// Threads: any, one at a time.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "cpu/accelerator.h"
#include "kvm/kvm_probe.h"
#include "machine/machine_config.h"

namespace emu {

// How to try an engine: makes it and its processors. Errors: what the host refuses.
struct EngineMakers {
  std::function<Result<void>()> kvm;
  std::function<Result<void>()> tcg;
  std::function<KvmVerdict()> probe;
};

// Tries what `choice` allows, in order, until one engine stands. Returns one line for people:
// "translator. <reason>: <fix>." Errors: of the last engine tried; kKvm tries no other.
[[nodiscard]] Result<std::string> choose_engine(EngineChoice choice, const EngineMakers& makers);

}  // namespace emu
