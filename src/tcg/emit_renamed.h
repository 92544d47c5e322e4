// SPDX-License-Identifier: Apache-2.0
// Re-encodes a guest instruction for the host: same opcode, prefixes, immediates and vector
// registers, other general registers and another memory operand.
#pragma once

#include "frontend/guest_block.h"
#include "tcg/host_assembler.h"

namespace emu {

// A general register operand of the guest.
struct GuestRegister {
  u8 number = kNoRegister;  // 0..15
  bool high_byte = false;   // AH, CH, DH, BH (number 0..3)
};
// kNoRegister if `reg` is not a general register.
[[nodiscard]] GuestRegister guest_register(ZydisRegister reg);

// What replaces the fields of an instruction; kNoRegister keeps a field as it is. Values are host
// register numbers, or kHighByte + 0..3 for the host's AH, CH, DH, BH.
inline constexpr u8 kHighByte = 0x24;
struct Renaming {
  u8 reg = kNoRegister;         // ModRM.reg
  u8 rm = kNoRegister;          // ModRM.rm as a register
  u8 vvvv = kNoRegister;        // VEX.vvvv
  u8 opcode = kNoRegister;      // low three bits of the opcode
  bool byte_needs_rex = false;  // some renamed operand is the low byte of host register 4..7
  HostMem memory;               // replaces a memory operand, if there is one
};

// Emits `g` renamed. It must be a legacy, VEX or EVEX instruction that means the same in 64-bit
// code (operand-size prefixes are adapted; short INC/DEC and absolute MOV forms are replaced). EVEX
// instructions take only memory operands without an 8-bit displacement.
void emit_renamed(HostAssembler& as, const GuestInstruction& g, const Renaming& names);

}  // namespace emu
