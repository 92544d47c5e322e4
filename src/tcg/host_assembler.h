// SPDX-License-Identifier: Apache-2.0
// Encoder for the few host instructions that surround renamed guest instructions: writes straight
// into a byte buffer, in one pass, with explicit forward patches. (Translation is mostly cold code:
// an instruction must cost nanoseconds, and guest encodings are kept bit for bit, so a general
// assembler with instruction selection would only be in the way.)
// Source: Intel SDM vol. 2 ch. 2 (formats) and each instruction.
#pragma once

#include <cstring>
#include <vector>

#include "base/types.h"
#include "tcg/emitted_block.h"

namespace emu {

inline constexpr u8 kNoRegister = 0xff;

// Legacy names of host registers, for readability: numbers are the encoding.
enum HostRegister : u8 { hRax, hRcx, hRdx, hRbx, hRsp, hRbp, hRsi, hRdi };

// A host memory operand.
struct HostMem {
  u8 base = kNoRegister;
  u8 index = kNoRegister;
  u8 scale = 0;  // log2
  bool gs = false;
  i32 disp = 0;

  static HostMem frame(i32 offset) { return {kNoRegister, kNoRegister, 0, true, offset}; }
  static HostMem frame_indexed(u8 index_register, u8 log2_scale, i32 offset) {
    return {kNoRegister, index_register, log2_scale, true, offset};
  }
  static HostMem at(u8 base_register, i32 offset = 0) {
    return {base_register, kNoRegister, 0, false, offset};
  }
  static HostMem sum(u8 base_register, u8 index_register) {
    return {base_register, index_register, 0, false, 0};
  }
};

// Condition codes of jcc, setcc and cmovcc.
enum Condition : u8 { kCcO, kCcNo, kCcB, kCcNb, kCcZ, kCcNz, kCcBe, kCcNbe };

class HostAssembler {
 public:
  HostAssembler() = default;
  HostAssembler(const HostAssembler&) = delete;
  HostAssembler& operator=(const HostAssembler&) = delete;

  // Code is made for execution at `address`; finish() puts it into `code`. What would have to
  // change with the address is added to `relocations`, if there is such a list.
  void reset(std::vector<u8>& code, u64 address, std::vector<Relocation>* relocations = nullptr) {
    code_ = &code;
    address_ = address;
    relocations_ = relocations;
    at_ = buffer_.data();
  }
  void finish() { code_->assign(buffer_.data(), at_); }
  [[nodiscard]] u32 offset() const { return static_cast<u32>(at_ - buffer_.data()); }

  // Raw bytes.
  void byte(u8 value) {
    if (at_ >= limit_) grow(1);
    *at_++ = value;
  }
  void bytes(const void* data, std::size_t count) {
    if (limit_ - at_ < static_cast<std::ptrdiff_t>(count)) grow(count);
    std::memcpy(at_, data, count);
    at_ += count;
  }
  void word(u16 value) { bytes(&value, sizeof value); }
  void dword(u32 value) { bytes(&value, sizeof value); }
  void qword(u64 value) { bytes(&value, sizeof value); }

  // ModRM and what follows, for `reg` (low three bits used) with memory or register operand.
  void modrm_memory(u8 reg, const HostMem& m);
  void modrm_register(u8 reg, u8 rm) { byte(static_cast<u8>(0xc0 | (reg & 7) << 3 | (rm & 7))); }
  // Copies bytes [from, to) of the code made so far to its end.
  void repeat(u32 from, u32 to);

  // Moves: none of these touches flags. `size` in bytes.
  void mov(u8 to, u8 from, unsigned size = 8);
  void mov_imm(u8 to, u64 value);
  // mov_imm() of a value that a relocation describes: false if it has no imm64 to relocate.
  [[nodiscard]] bool mov_relocated(u8 to, u64 value, Relocation::Kind kind);
  // The 4 bytes emitted last are a field of `kind`.
  void relocate_field32(Relocation::Kind kind) { add_relocation(4, kind); }
  void load(u8 to, const HostMem& m, unsigned size = 8);          // zero-extends to 64 bits
  void load_signed(u8 to, const HostMem& m, unsigned size);       // sign-extends to 64 bits
  void load_partial(u8 to, const HostMem& m, unsigned size = 8);  // plain mov r, m
  void store(const HostMem& m, u8 from, unsigned size = 8);
  void store_imm(const HostMem& m, i32 value, unsigned size = 8);  // sign-extended to 8
  void zero_extend(u8 to, u8 from, unsigned size);                 // of 1, 2 or 4 bytes
  void sign_extend(u8 to, u8 from, unsigned size);                 // to 64 bits
  void push(u8 from) {
    if (from >= 8) byte(0x41);
    byte(static_cast<u8>(0x50 | (from & 7)));
  }
  void lea(u8 to, const HostMem& m, unsigned size = 8);
  void xchg(u8 a, u8 b, unsigned size = 8);
  void swap_low_bytes(u8 reg);  // xchg al,ah and so on: reg is rax..rbx

  // Flag-free shifts and bit gathers (BMI2).
  void rorx(u8 to, u8 from, u8 count, unsigned size = 8);
  void shlx(u8 to, u8 from, u8 count, unsigned size = 8) { bmi(1, 0xf7, to, count, from, size); }
  void sarx(u8 to, u8 from, u8 count, unsigned size = 8) { bmi(2, 0xf7, to, count, from, size); }
  void shrx(u8 to, u8 from, u8 count, unsigned size = 8) { bmi(3, 0xf7, to, count, from, size); }
  void pext(u8 to, u8 from, const HostMem& mask);
  void pext(u8 to, u8 from, u8 mask) { bmi(2, 0xf5, to, from, mask, 8); }
  void pdep(u8 to, u8 from, u8 mask) { bmi(3, 0xf5, to, from, mask, 8); }

  // Flag-changing arithmetic. `op`: 0 add, 1 or, 4 and, 5 sub, 6 xor, 7 cmp.
  void alu_imm(unsigned op, u8 reg, i32 value, unsigned size = 8);
  void alu(unsigned op, u8 to, u8 from, unsigned size = 8);
  void alu_load(unsigned op, u8 to, const HostMem& m, unsigned size = 8);
  void test(u8 a, u8 b, unsigned size = 8);
  void cmov(u8 condition, u8 to, u8 from);  // 64 bits; changes no flags
  void divide_byte(u8 divisor);             // AX by a byte register
  void multiply(u8 reg, u8 factor);         // 32 bits, unsigned factor
  void lahf() { byte(0x9f); }
  void sahf() { byte(0x9e); }
  void setcc(u8 condition, u8 reg);  // low byte; not for rsp..rdi without REX: emits one

  // Any VEX instruction with register operands: `map` 1 = 0F, 2 = 0F38; `pp` 0, 1 = 66, 2 = F3,
  // 3 = F2. Vector registers 0..15, masks and general registers alike.
  struct Vex {
    u8 map, pp, w, l, opcode;
  };
  void vex(const Vex& op, u8 reg, u8 vvvv, u8 rm);
  // Bit counting (changes flags): only where they have been saved.
  void tzcnt(u8 to, u8 from);
  void popcnt(u8 to, u8 from);
  void blsr(u8 to, u8 from) { vex({2, 0, 1, 0, 0xf3}, 1, to, from); }
  void bzhi(u8 to, u8 from, u8 count) { vex({2, 0, 1, 0, 0xf5}, to, count, from); }
  // Moves `bytes` (8: an MMX register, 16, 32, 64) of a vector register 0..31 to or from memory
  // without alignment. `evex` selects that encoding; it is needed for 64 bytes and from 16 on.
  void move_vector(bool load, u8 reg, const HostMem& m, unsigned bytes, bool evex);

  // Jumps. Forward ones return the offset to hand to patch().
  [[nodiscard]] u32 jmp_forward();
  [[nodiscard]] u32 jcc_forward(u8 condition);
  [[nodiscard]] u32 jrcxz_short();  // rel8
  [[nodiscard]] u32 jecxz_short();
  [[nodiscard]] u32 jcc_short(u8 condition);
  [[nodiscard]] u32 jmp_short();
  void patch(u32 at);        // a rel32 field: leads here
  void patch_short(u32 at);  // a rel8 field: leads here, within 127 bytes
  [[nodiscard]] u32 call_forward();
  void branch_memory(bool call, const HostMem& m);  // jmp or call qword [m]
  void jmp_back(u32 target_offset);
  void jcc_back(u8 condition, u32 target_offset);
  void jmp_to(const u8* target);   // absolute, within reach
  void call_to(const u8* target);  // absolute, within reach

  // Pads with NOPs so that a field of `size` bytes `ahead` of here does not straddle a 64-byte
  // line (the block starts at one).
  void align_field(unsigned ahead, unsigned size);

 private:
  struct Opcode {
    u8 prefix = 0;        // 0x66, 0xf2, 0xf3 or 0
    bool escape = false;  // 0f
    u8 code = 0;
  };
  void op_memory(Opcode op, u8 reg, const HostMem& m, unsigned size, bool byte_register = false);
  void op_register(Opcode op, u8 reg, u8 rm, unsigned size, bool byte_registers = false);
  // VEX-coded BMI2, opcode map 0F38: pp is 1 = 66, 2 = F3, 3 = F2.
  void bmi(u8 pp, u8 opcode, u8 reg, u8 vvvv, u8 rm, unsigned size);
  void relative32(const u8* target);

  void grow(std::size_t more);
  // The field of `size_bytes` that ends here.
  void add_relocation(u32 size_bytes, Relocation::Kind kind);

  std::vector<Relocation>* relocations_ = nullptr;
  std::vector<u8>* code_ = nullptr;
  u64 address_ = 0;
  std::vector<u8> buffer_ = std::vector<u8>(16 * kKiB);  // kept between blocks
  u8* at_ = buffer_.data();
  u8* limit_ = at_ + buffer_.size();
};

}  // namespace emu
