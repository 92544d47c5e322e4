// SPDX-License-Identifier: Apache-2.0
// What a person can ask of a machine's network cards by name.
// Source: the names are QEMU's monitor commands (qemu(1)).
#pragma once

#include <string>
#include <vector>

#include "machine/control.h"

namespace emu {

class Machine;

// A line for each card: name, model, address, network, link and counters. Takes the machine lock.
[[nodiscard]] std::string describe_networks(Machine& machine);

// "set_link NAME on|off". `machine` must outlive them.
[[nodiscard]] std::vector<ControlCommand> network_commands(Machine& machine);

}  // namespace emu
