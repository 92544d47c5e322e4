// SPDX-License-Identifier: Apache-2.0
// The one or two lines on standard error that say what was started, and on which engine and why.
#pragma once

#include <string>
#include <vector>

#include "machine/machine_config.h"

namespace emu::cli {

// "emu 0.1 · pc · 2 cpus · 2 GiB · disk.qcow2 (...) · no network · window\nengine: ...\n".
[[nodiscard]] std::string banner(const MachineConfig& config,
                                 const std::vector<std::string>& drives, const std::string& engine);

}  // namespace emu::cli
