// SPDX-License-Identifier: Apache-2.0
// A guest basic block: decoded instructions with annotations. Scratch of one translation, reused.
#pragma once

#include <Zydis/Zydis.h>

#include <span>
#include <vector>

#include "base/types.h"
#include "frontend/translation_mode.h"

namespace emu {

// How an instruction is emitted.
enum class InstructionClass : u8 {
  kPlain,    // renamed operands, executed by the host as it stands
  kStack,    // push, pop, pusha, popa, enter, leave, pushf
  kString,   // movs, cmps, scas, lods, stos with or without a repeat prefix
  kControl,  // near jmp, jcc, call, ret, loop, jcxz: ends the block
  kSpecial,  // written by us inline or as several host instructions (xlat, aaa, bound, cmpxchg8b
             // corner cases, lea in 32-bit code, gathers, ...)
  kSystem,   // a C++ helper does it; `ends_block` says whether the block goes on
  kNop,      // executes as nothing: hints, prefetches
  kInvalid,  // raises `vector`: #UD (undefined bytes, not offered in CPUID, or forbidden in this
             // mode), #NM (FPU not available) or #GP (too long, beyond the CS limit)
};

// RFLAGS status bits as masks (kFlagCf ... of cpu/cpu_state.h).
struct GuestInstruction {
  u64 rip = 0;        // offset in CS
  u8 bytes[15] = {};  // as they were when decoded
  u8 length = 0;      // bytes, 1..15
  InstructionClass kind = InstructionClass::kPlain;
  bool ends_block = false;
  u8 vector = 0;              // kInvalid: the exception, kVectorUd, -Nm or -Gp (error code 0)
  u16 flags_read = 0;         // status flags it may read
  u16 flags_written = 0;      // status flags it always overwrites (defined or undefined)
  u16 flags_live = 0;         // status flags somebody may still read after it
  u16 flags_live_before = 0;  // and before it
  // Host address of its immediate operand in guest memory, to be read there when it runs because
  // the guest keeps changing it; null: it is a constant.
  const u8* live_immediate = nullptr;
  ZydisDecodedInstruction info;
  ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];

  [[nodiscard]] u64 next_rip() const { return rip + length; }
};

struct GuestBlock {
  TranslationMode mode;
  u64 rip = 0;                // of the first instruction (offset in CS)
  u32 length_bytes = 0;       // guest bytes covered
  bool crosses_page = false;  // its only instruction continues on the next page
  // Why the block ends without a control instruction: it simply continues at `next_rip`.
  u64 next_rip = 0;
  std::vector<GuestInstruction> instructions;
};

}  // namespace emu
