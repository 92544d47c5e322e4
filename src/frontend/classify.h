// SPDX-License-Identifier: Apache-2.0
// How a decoded instruction is to be emitted in a mode.
#pragma once

#include "frontend/guest_block.h"

namespace emu {

// Fills in `kind`, `ends_block`, `vector` and the flags read and written of a decoded instruction.
void classify(GuestInstruction& instruction, TranslationMode mode);

}  // namespace emu
