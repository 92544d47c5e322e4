// SPDX-License-Identifier: Apache-2.0
// Translations as text, for people.
#pragma once

#include <string>

#include "frontend/guest_block.h"
#include "tcg/emitted_block.h"

namespace emu {

// Guest instructions with their annotations and, below each, the host code made for it;
// `host_address` is where the code will run.
[[nodiscard]] std::string describe_translation(const GuestBlock& block, const EmittedBlock& emitted,
                                               const u8* host_address);

}  // namespace emu
