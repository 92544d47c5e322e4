// SPDX-License-Identifier: Apache-2.0
// One attempt at entering a handler. Internal to src/cpu.
#pragma once

#include "cpu/cpu_core.h"
#include "cpu/delivery.h"

namespace emu {

// Enters the handler of `event`, or returns the fault met on the way, EXT bit included, with the
// state unchanged (a task switch past its commit point aside).
// Source: Intel SDM vol. 2 INT n, vol. 3 6.12-6.14, 20.1.4, 20.3.
Fault deliver_through_gate(CpuCore& core, const Event& event) noexcept;

}  // namespace emu
