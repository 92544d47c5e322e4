// SPDX-License-Identifier: Apache-2.0
// What a person can ask of the whole machine by name: run control, snapshots, and looking inside.
// Source: the names are QEMU's monitor commands (qemu(1)) where it has them.
#pragma once

#include <vector>

#include "machine/control.h"

namespace emu {

class Machine;

// `machine` must outlive them.
[[nodiscard]] std::vector<ControlCommand> machine_commands(Machine& machine);

}  // namespace emu
