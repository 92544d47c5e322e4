// SPDX-License-Identifier: Apache-2.0
// The result of emission: host code and what the runtime must know about it.
#pragma once

#include <memory>
#include <vector>

#include "base/types.h"

namespace emu {

class TcgCpu;

// Host code of the guest instruction at block RIP + guest_offset starts at host_offset. Sorted; an
// instruction owns [its host_offset, the next entry's) in the main part and every range a cold
// entry names. Lookup by a host PC (or return address - 1) gives the guest instruction.
struct InstructionMapEntry {
  u32 host_offset;
  u16 guest_offset;
  u8 guest_length;
  u8 reserved;
};

// A direct jump to `target_rip` that can be patched: the 4-byte rel32 field at `patch_offset`
// (which does not straddle a 64-byte line) first leads to the cold code at `cold_offset`:
// `mov kT1d, exit id; jmp link_exit`.
struct DirectExit {
  u64 target_rip;
  u32 patch_offset;
  u32 cold_offset;
  bool unshared = false;  // to the translation with a check for every access
  u8 mode_change = 0;     // bits of TranslationMode::packed() that are others there
};

// A poll: the instruction at `host_offset` loads from poll_pointer. When that faults, execution
// continues at `cold_offset`, which goes to loop_exit with kT0 = the RIP to go on at.
struct PollSite {
  u32 host_offset;
  u32 cold_offset;
};

// What call_system needs: allocated by the emitter, owned by the block.
struct SystemCall {
  // Returns through the stub, or leaves through TcgCpu's own ways out.
  void (*handler)(TcgCpu&, const SystemCall&) noexcept = nullptr;
  u64 rip = 0;  // of the instruction
  u64 immediate = 0;
  u8 length = 0;         // of the instruction
  u8 operand_bytes = 0;  // operand size
  u8 address_bytes = 0;  // address size
  u8 reg = 0;            // register operands: numbers in the encoding of their file
  u8 reg2 = 0;
  u8 segment = 0;       // of the memory operand (SegmentIndex)
  bool memory = false;  // the operand is memory at frame.exit_address
  u8 prefix = 0;        // 0, 0xf2, 0xf3; handler-specific
  bool ends_block = false;
  u16 mnemonic = 0;  // ZydisMnemonic
};

// A field of emitted code whose value depends on where the host code or the guest code lies, so
// that the same guest bytes mapped somewhere else need no new translation.
struct Relocation {
  enum class Kind : u8 {
    kStub,        // rel32 of a jump or call out of the block
    kRip,         // imm64: a guest address
    kNegatedRip,  // imm64: minus a guest address
    kExitId,      // imm32
    kSystemCall,  // imm64: pointer to the SystemCall
  };
  u32 offset : 24 = 0;
  u32 kind : 8 = 0;
};
static_assert(sizeof(Relocation) == sizeof(u32));

struct EmittedBlock {
  std::vector<u8> code;  // made for execution at the address it was emitted for
  std::vector<InstructionMapEntry> map;
  std::vector<DirectExit> exits;
  std::vector<PollSite> polls;
  std::vector<std::unique_ptr<SystemCall>> system_calls;
  std::vector<Relocation> relocations;
  bool movable = true;  // `relocations` is everything that depends on the block's address

  void clear() {
    code.clear();
    map.clear();
    exits.clear();
    polls.clear();
    system_calls.clear();
    relocations.clear();
    movable = true;
  }
};

}  // namespace emu
