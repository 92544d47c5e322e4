// SPDX-License-Identifier: Apache-2.0
// Memory operands under a mask, and gathers and scatters.
#include "tcg/emit_context.h"

namespace emu {

void EmitContext::emit_masked(const GuestInstruction& g) {
  raise_unsupported(g);
}

}  // namespace emu
