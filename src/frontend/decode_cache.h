// SPDX-License-Identifier: Apache-2.0
// Instructions decoded lately: compiled code is made of few forms, which differ in displacements
// and immediate operands. One that is found here costs a copy instead of decoding.
#pragma once

#include <memory>

#include "frontend/guest_block.h"

namespace emu {

// A direct-mapped table. Not thread-safe: one per translating thread.
class DecodeCache {
 public:
  DecodeCache();
  // Fills in all that decoding and classification say about the instruction in `g.bytes`, of which
  // `available` are there; false if it is not known.
  [[nodiscard]] bool find(GuestInstruction& g, TranslationMode mode, std::size_t available) const;
  // Remembers `g`, decoded and classified in `mode`.
  void add(const GuestInstruction& g, TranslationMode mode);

 private:
  static constexpr unsigned kIndexBits = 11;
  static constexpr unsigned kMaxOperands = 6;
  // The bytes of an instruction as two numbers.
  struct Image {
    u64 low = 0, high = 0;
  };
  struct Entry {
    Image mask;  // which bits are part of the form
    Image form;
    u32 mode = 0;
    u8 length = 0;  // 0: empty
    u8 immediate_operand = kNone;
    u8 memory_operand = kNone;
    InstructionClass kind = InstructionClass::kPlain;
    bool ends_block = false;
    u8 vector = 0;
    u16 flags_read = 0;
    u16 flags_written = 0;
    ZydisDecodedInstruction info;
    ZydisDecodedOperand operands[kMaxOperands];
  };
  static constexpr u8 kNone = 0xff;

  [[nodiscard]] static Image image_of(const GuestInstruction& g);
  [[nodiscard]] static unsigned index_of(const Image& image, const u8* bytes, TranslationMode mode);
  static void leave_out(Image& mask, unsigned offset, unsigned length);
  static void find_immediate(const GuestInstruction& g, Entry& entry);
  static void find_displacement(const GuestInstruction& g, Entry& entry);

  std::unique_ptr<Entry[]> entries_;
};

}  // namespace emu
