// SPDX-License-Identifier: Apache-2.0
// Random processor states for one instruction, and what of two results must be equal.
#pragma once

#include <string>

#include "instruction_forms.h"
#include "instruction_host_unsafe.h"

namespace emu::instruction_test {

// Fills `state` with random registers, flags, x87, MXCSR, vectors and memory such that the memory
// operand of `g` (if any) lies in the scratch memory, or at kUnmapped. Patches a displacement in
// `bytes` where the address is absolute. False: this instance cannot be placed.
[[nodiscard]] bool randomize(std::vector<u8>& bytes, const GuestInstruction& g, bool code64,
                             bool unmapped, Random& random, MachineState& state);

// Every difference between the native and the translated result, one a line; empty if none.
[[nodiscard]] std::string compare(const GuestInstruction& g, bool code64,
                                  const MachineState& native, const MachineState& emitted);
[[nodiscard]] std::string describe(const MachineState& state);

}  // namespace emu::instruction_test
