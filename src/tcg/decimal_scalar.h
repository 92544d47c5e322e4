// SPDX-License-Identifier: Apache-2.0
// The decimal adjustments, which exist in 16- and 32-bit code only.
#pragma once

#include "cpu/cpu_state.h"

namespace emu {

// AAA, AAS, DAA or DAS (a ZydisMnemonic) on AL, AH and the status flags. Undefined flags come out
// as on Intel processors. Never fails. Source: Intel SDM vol. 2.
void decimal_adjust(CpuState& state, u16 mnemonic) noexcept;

}  // namespace emu
