// SPDX-License-Identifier: Apache-2.0
// Which accesses of a block may share one TLB check: those whose addresses are known to differ by
// constants. Registers are followed symbolically through the block (value = symbol + constant), so
// the stack frame is one group across PUSH, POP, CALL and ADD rSP, and a structure is one group as
// long as its base register, or a copy of it, is unchanged.
// Not shared: accesses of system, string and masked instructions, of 16-bit addresses, and
// segments with a limit. System instructions end all groups.
#pragma once

#include <array>
#include <vector>

#include "frontend/guest_block.h"

namespace emu {

// Which access of an instruction: its memory operand, or what it pushes or pops.
enum class AccessSite : u8 { kOperand, kStack };

// A range that is checked once, when its first access is reached.
struct SharedGroup {
  i64 low = 0, high = 0;  // relative to the common symbol, half open
  bool write = false;
  u16 uses = 0;
  u8 slot = 0;  // of VcpuFrame::shared_host
};

struct SharedUse {
  const SharedGroup* group = nullptr;  // null: not shared
  bool first = false;                  // makes the check
  i32 offset = 0;                      // of the access from the group's low end
};

class SharePlan {
 public:
  static constexpr unsigned kMaxGroups = 16;
  // Bytes. Wide ranges cross pages more often, and then nothing is shared.
  static constexpr i64 kMaxSpan = 512;

  // Plans `block`; what it refers to stays valid until the next build().
  void build(const GuestBlock& block);
  // Nothing is shared until the next build().
  void clear() { uses_.clear(); }
  [[nodiscard]] SharedUse use(std::size_t instruction, AccessSite site) const;

 private:
  static constexpr u16 kNoSymbol = 0xffff;
  struct Value {
    u16 symbol = kNoSymbol;
    i64 offset = 0;
  };
  // Accesses with equal keys have addresses that differ by a constant.
  struct Key {
    u16 base = kNoSymbol, index = kNoSymbol;
    u8 scale = 0;
    u8 segment = 0;  // with a base: FS or GS
    u64 page = 0;    // constant addresses
    bool operator==(const Key&) const = default;
  };
  struct Use {
    u16 group = 0xffff;
    bool first = false;
    i64 offset = 0;
  };

  void forget_values();
  void access_operand(std::size_t at, const GuestInstruction& g);
  void access_stack(std::size_t at, const GuestInstruction& g);
  void add(std::size_t at, AccessSite site, const Key& key, i64 offset, unsigned size, bool write);
  [[nodiscard]] bool segment_fits(u8 segment, bool write, Key& key) const;
  void follow(const GuestInstruction& g);
  // False if registers are to be treated as unknown.
  [[nodiscard]] bool follow_exactly(const GuestInstruction& g);
  void set_unknown(unsigned reg) { registers_[reg] = {next_symbol_++, 0}; }
  void move(unsigned to, unsigned from, i64 distance);
  void number_groups();

  TranslationMode mode_;
  unsigned full_bits_ = 64;  // width of a whole register and of addresses
  std::array<Value, 16> registers_;
  u16 next_symbol_ = 0;
  std::vector<SharedGroup> groups_;
  std::vector<Key> keys_;                 // parallel to groups_
  std::size_t first_open_ = 0;            // groups before it are closed
  std::vector<std::array<Use, 2>> uses_;  // by instruction
};

}  // namespace emu
