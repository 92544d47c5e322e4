// SPDX-License-Identifier: Apache-2.0
// The comparison of boots: a machine of the user's, under each engine.
#pragma once

#include "cli/bench/bench.h"
#include "cli/bench/results.h"
#include "machine/machine_config.h"

namespace emu::cli::bench {

// The machine that options.machine describes, as it is compared: nothing on the screen, no change
// to its disks. Errors: those of the command line, nothing to start.
[[nodiscard]] Result<MachineConfig> machine_to_compare(const BenchOptions& options);

// Boots it under every engine in turn, so many rounds; progress goes to standard error. What a
// column reached before it failed is kept beside the reason.
[[nodiscard]] Results compare_boots(const BenchOptions& options, const MachineConfig& config);

}  // namespace emu::cli::bench
