// SPDX-License-Identifier: Apache-2.0
// The translator as an engine.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "cpu/accelerator.h"
#include "tcg/tcg_options.h"

namespace emu {

// Makes the translator for a machine whose guest-physical memory is `memory`. Both arguments
// outlive it. Errors: the host has no room for the code cache, or lacks BMI2.
[[nodiscard]] Result<std::unique_ptr<Accelerator>> create_tcg(AddressSpace& memory,
                                                              const Clock& clock,
                                                              const TcgOptions& options);

// Why this host cannot run a guest's programs natively (they are translated then), as part
// of a sentence; empty: it can. Makes a process for a moment.
[[nodiscard]] std::string native_user_missing();

}  // namespace emu
