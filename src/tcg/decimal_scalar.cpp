// SPDX-License-Identifier: Apache-2.0
#include "tcg/decimal_scalar.h"

#include <Zydis/Zydis.h>

namespace emu {
namespace {

u64 result_flags(u8 al) {
  u64 flags = 0;
  if (al == 0) flags |= kFlagZf;
  if ((al & 0x80) != 0) flags |= kFlagSf;
  if ((__builtin_popcount(al) & 1) == 0) flags |= kFlagPf;
  return flags;
}

// AAA (`sign` 1) and AAS (-1).
void ascii_adjust(CpuState& state, int sign) {
  u32 ax = static_cast<u32>(state.gpr[kRax] & 0xffff);
  u64 flags = 0;
  if ((ax & 15) > 9 || (state.rflags & kFlagAf) != 0) {
    ax = sign > 0 ? ax + 0x106 : ax - 0x106;
    flags = kFlagAf | kFlagCf;
  }
  ax &= 0xff0f;
  flags |= result_flags(static_cast<u8>(ax));
  state.gpr[kRax] = (state.gpr[kRax] & ~u64{0xffff}) | ax;
  state.rflags = (state.rflags & ~kFlagsArithmetic) | flags;
}

// DAA (`sign` 1) and DAS (-1).
void packed_adjust(CpuState& state, int sign) {
  const u8 old = static_cast<u8>(state.gpr[kRax]);
  const bool carry = (state.rflags & kFlagCf) != 0;
  u32 al = old;
  u64 flags = 0;
  if ((old & 15) > 9 || (state.rflags & kFlagAf) != 0) {
    al = sign > 0 ? al + 6 : al - 6;
    flags |= kFlagAf;
    if (carry || (al & 0x100) != 0) flags |= kFlagCf;
  }
  if (old > 0x99 || carry) {
    al = sign > 0 ? al + 0x60 : al - 0x60;
    flags |= kFlagCf;
  } else if (sign > 0) {
    flags &= ~kFlagCf;
  }
  flags |= result_flags(static_cast<u8>(al));
  state.gpr[kRax] = (state.gpr[kRax] & ~u64{0xff}) | (al & 0xff);
  state.rflags = (state.rflags & ~kFlagsArithmetic) | flags;
}

}  // namespace

void decimal_adjust(CpuState& state, u16 mnemonic) noexcept {
  switch (mnemonic) {
    case ZYDIS_MNEMONIC_AAA:
      return ascii_adjust(state, 1);
    case ZYDIS_MNEMONIC_AAS:
      return ascii_adjust(state, -1);
    case ZYDIS_MNEMONIC_DAA:
      return packed_adjust(state, 1);
    default:
      return packed_adjust(state, -1);
  }
}

}  // namespace emu
