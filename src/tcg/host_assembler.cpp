// SPDX-License-Identifier: Apache-2.0
#include "tcg/host_assembler.h"

#include "base/check.h"

namespace emu {
namespace {

constexpr bool high(u8 reg) {
  return reg != kNoRegister && reg >= 8;
}

constexpr bool fits8(i64 value) {
  return value >= -128 && value <= 127;
}

}  // namespace

void HostAssembler::grow(std::size_t more) {
  const std::size_t used = offset();
  buffer_.resize(2 * buffer_.size() + more);
  at_ = buffer_.data() + used;
  limit_ = buffer_.data() + buffer_.size();
}

void HostAssembler::modrm_memory(u8 reg, const HostMem& m) {
  const u8 r = static_cast<u8>((reg & 7) << 3);
  const u8 index = m.index == kNoRegister ? 4 : static_cast<u8>(m.index & 7);
  const u8 sib_high = static_cast<u8>(m.scale << 6 | index << 3);
  if (m.base == kNoRegister) {  // [index * scale + disp32]
    byte(r | 4);
    byte(sib_high | 5);
    dword(static_cast<u32>(m.disp));
    return;
  }
  const u8 base = m.base & 7;
  const bool need_sib = m.index != kNoRegister || base == 4;
  const u8 mod = m.disp == 0 && base != 5 ? 0 : fits8(m.disp) ? 0x40 : 0x80;
  byte(static_cast<u8>(mod | r | (need_sib ? 4 : base)));
  if (need_sib) byte(sib_high | base);
  if (mod == 0x40) byte(static_cast<u8>(m.disp));
  if (mod == 0x80) dword(static_cast<u32>(m.disp));
}

void HostAssembler::op_memory(Opcode op, u8 reg, const HostMem& m, unsigned size,
                              bool byte_register) {
  if (m.gs) byte(0x65);
  if (size == 2) byte(0x66);
  if (op.prefix != 0) byte(op.prefix);
  const u8 rex = static_cast<u8>((size == 8 ? 8 : 0) | (high(reg) ? 4 : 0) |
                                 (high(m.index) ? 2 : 0) | (high(m.base) ? 1 : 0));
  if (rex != 0 || (byte_register && reg >= 4)) byte(0x40 | rex);
  if (op.escape) byte(0x0f);
  byte(op.code);
  modrm_memory(reg, m);
}

void HostAssembler::op_register(Opcode op, u8 reg, u8 rm, unsigned size, bool byte_registers) {
  if (size == 2) byte(0x66);
  if (op.prefix != 0) byte(op.prefix);
  const u8 rex = static_cast<u8>((size == 8 ? 8 : 0) | (high(reg) ? 4 : 0) | (high(rm) ? 1 : 0));
  if (rex != 0 || (byte_registers && (reg >= 4 || rm >= 4))) byte(0x40 | rex);
  if (op.escape) byte(0x0f);
  byte(op.code);
  modrm_register(reg, rm);
}

void HostAssembler::repeat(u32 from, u32 to) {
  const std::size_t count = to - from;
  if (limit_ - at_ < static_cast<std::ptrdiff_t>(count)) grow(count);
  std::memcpy(at_, buffer_.data() + from, count);
  const u32 moved_by = offset() - from;
  at_ += count;
  if (relocations_ == nullptr) return;
  for (std::size_t i = 0, n = relocations_->size(); i < n; ++i) {
    Relocation r = (*relocations_)[i];
    if (r.offset < from || r.offset >= to) continue;
    r.offset = (r.offset + moved_by) & 0xffffff;
    relocations_->push_back(r);
  }
}

void HostAssembler::add_relocation(u32 size_bytes, Relocation::Kind kind) {
  if (relocations_ == nullptr) return;
  Relocation r;
  r.offset = (offset() - size_bytes) & 0xffffff;
  r.kind = static_cast<u8>(kind);
  relocations_->push_back(r);
}

bool HostAssembler::mov_relocated(u8 to, u64 value, Relocation::Kind kind) {
  mov_imm(to, value);
  if (value <= 0xffffffffu || static_cast<i64>(value) == static_cast<i32>(value)) return false;
  add_relocation(8, kind);
  return true;
}

void HostAssembler::mov(u8 to, u8 from, unsigned size) {
  op_register({0, false, static_cast<u8>(size == 1 ? 0x88 : 0x89)}, from, to, size, size == 1);
}

void HostAssembler::mov_imm(u8 to, u64 value) {
  if (value <= 0xffffffffu) {
    if (high(to)) byte(0x41);
    byte(static_cast<u8>(0xb8 | (to & 7)));
    dword(static_cast<u32>(value));
    return;
  }
  byte(static_cast<u8>(0x48 | (high(to) ? 1 : 0)));
  if (static_cast<i64>(value) == static_cast<i32>(value)) {
    byte(0xc7);
    modrm_register(0, to);
    dword(static_cast<u32>(value));
    return;
  }
  byte(static_cast<u8>(0xb8 | (to & 7)));
  qword(value);
}

void HostAssembler::load(u8 to, const HostMem& m, unsigned size) {
  if (size >= 4) return load_partial(to, m, size);
  op_memory({0, true, static_cast<u8>(size == 1 ? 0xb6 : 0xb7)}, to, m, 4);
}

void HostAssembler::load_signed(u8 to, const HostMem& m, unsigned size) {
  if (size == 8) return load_partial(to, m, size);
  if (size == 4) return op_memory({0, false, 0x63}, to, m, 8);
  op_memory({0, true, static_cast<u8>(size == 1 ? 0xbe : 0xbf)}, to, m, 8);
}

void HostAssembler::load_partial(u8 to, const HostMem& m, unsigned size) {
  op_memory({0, false, static_cast<u8>(size == 1 ? 0x8a : 0x8b)}, to, m, size, size == 1);
}

void HostAssembler::store(const HostMem& m, u8 from, unsigned size) {
  op_memory({0, false, static_cast<u8>(size == 1 ? 0x88 : 0x89)}, from, m, size, size == 1);
}

void HostAssembler::store_imm(const HostMem& m, i32 value, unsigned size) {
  op_memory({0, false, static_cast<u8>(size == 1 ? 0xc6 : 0xc7)}, 0, m, size);
  if (size == 1) {
    byte(static_cast<u8>(value));
  } else if (size == 2) {
    word(static_cast<u16>(value));
  } else {
    dword(static_cast<u32>(value));
  }
}

void HostAssembler::zero_extend(u8 to, u8 from, unsigned size) {
  if (size == 4) return mov(to, from, 4);
  op_register({0, true, static_cast<u8>(size == 1 ? 0xb6 : 0xb7)}, to, from, 4, size == 1);
}

void HostAssembler::sign_extend(u8 to, u8 from, unsigned size) {
  if (size == 8) return mov(to, from);
  if (size == 4) return op_register({0, false, 0x63}, to, from, 8);
  op_register({0, true, static_cast<u8>(size == 1 ? 0xbe : 0xbf)}, to, from, 8);
}

void HostAssembler::lea(u8 to, const HostMem& m, unsigned size) {
  op_memory({0, false, 0x8d}, to, m, size);
}

void HostAssembler::xchg(u8 a, u8 b, unsigned size) {
  op_register({0, false, static_cast<u8>(size == 1 ? 0x86 : 0x87)}, a, b, size, size == 1);
}

void HostAssembler::swap_low_bytes(u8 reg) {
  byte(0x86);
  modrm_register(static_cast<u8>(reg + 4), reg);
}

void HostAssembler::bmi(u8 pp, u8 opcode, u8 reg, u8 vvvv, u8 rm, unsigned size) {
  byte(0xc4);
  byte(static_cast<u8>((high(reg) ? 0 : 0x80) | 0x40 | (high(rm) ? 0 : 0x20) | 2));
  byte(static_cast<u8>((size == 8 ? 0x80 : 0) | (~vvvv & 15) << 3 | pp));
  byte(opcode);
  modrm_register(reg, rm);
}

void HostAssembler::vex(const Vex& op, u8 reg, u8 vvvv, u8 rm) {
  byte(0xc4);
  byte(static_cast<u8>((high(reg) ? 0 : 0x80) | 0x40 | (high(rm) ? 0 : 0x20) | op.map));
  byte(static_cast<u8>(op.w << 7 | (~vvvv & 15) << 3 | op.l << 2 | op.pp));
  byte(op.opcode);
  modrm_register(reg, rm);
}

void HostAssembler::tzcnt(u8 to, u8 from) {
  op_register({0xf3, true, 0xbc}, to, from, 8);
}

void HostAssembler::popcnt(u8 to, u8 from) {
  op_register({0xf3, true, 0xb8}, to, from, 8);
}

void HostAssembler::move_vector(bool load, u8 reg, const HostMem& m, unsigned bytes, bool evex) {
  const u8 opcode = load ? 0x6f : 0x7f;
  if (m.gs) byte(0x65);
  if (bytes == 8) {  // movq mm
    byte(0x0f);
    byte(opcode);
  } else if (evex) {  // vmovdqu64
    byte(0x62);
    byte(static_cast<u8>(((reg & 8) != 0 ? 0 : 0x80) | (high(m.index) ? 0 : 0x40) |
                         (high(m.base) ? 0 : 0x20) | ((reg & 16) != 0 ? 0 : 0x10) | 1));
    byte(0xfe);
    byte(static_cast<u8>((bytes == 64 ? 2 : bytes == 32 ? 1 : 0) << 5 | 8));
    byte(opcode);
  } else {  // vmovdqu
    byte(0xc4);
    byte(static_cast<u8>((high(reg) ? 0 : 0x80) | (high(m.index) ? 0 : 0x40) |
                         (high(m.base) ? 0 : 0x20) | 1));
    byte(static_cast<u8>(15 << 3 | (bytes == 32 ? 4 : 0) | 2));
    byte(opcode);
  }
  modrm_memory(reg, m);
}

void HostAssembler::pext(u8 to, u8 from, const HostMem& mask) {
  if (mask.gs) byte(0x65);
  byte(0xc4);
  byte(static_cast<u8>((high(to) ? 0 : 0x80) | (high(mask.index) ? 0 : 0x40) |
                       (high(mask.base) ? 0 : 0x20) | 2));
  byte(static_cast<u8>(0x80 | (~from & 15) << 3 | 2));
  byte(0xf5);
  modrm_memory(to, mask);
}

void HostAssembler::rorx(u8 to, u8 from, u8 count, unsigned size) {
  byte(0xc4);
  byte(static_cast<u8>((high(to) ? 0 : 0x80) | 0x40 | (high(from) ? 0 : 0x20) | 3));
  byte(static_cast<u8>((size == 8 ? 0x80 : 0) | 15 << 3 | 3));
  byte(0xf0);
  modrm_register(to, from);
  byte(count);
}

void HostAssembler::alu_imm(unsigned op, u8 reg, i32 value, unsigned size) {
  const u8 code = size == 1 ? 0x80 : fits8(value) ? 0x83 : 0x81;
  op_register({0, false, code}, static_cast<u8>(op), reg, size, size == 1);
  if (code != 0x81) {
    byte(static_cast<u8>(value));
  } else if (size == 2) {
    word(static_cast<u16>(value));
  } else {
    dword(static_cast<u32>(value));
  }
}

void HostAssembler::alu(unsigned op, u8 to, u8 from, unsigned size) {
  op_register({0, false, static_cast<u8>(op << 3 | (size == 1 ? 2 : 3))}, to, from, size,
              size == 1);
}

void HostAssembler::alu_load(unsigned op, u8 to, const HostMem& m, unsigned size) {
  op_memory({0, false, static_cast<u8>(op << 3 | (size == 1 ? 2 : 3))}, to, m, size, size == 1);
}

void HostAssembler::test(u8 a, u8 b, unsigned size) {
  op_register({0, false, static_cast<u8>(size == 1 ? 0x84 : 0x85)}, a, b, size, size == 1);
}

void HostAssembler::setcc(u8 condition, u8 reg) {
  op_register({0, true, static_cast<u8>(0x90 | condition)}, 0, reg, 1, true);
}

void HostAssembler::cmov(u8 condition, u8 to, u8 from) {
  op_register({0, true, static_cast<u8>(0x40 | condition)}, to, from, 8);
}

void HostAssembler::divide_byte(u8 divisor) {
  op_register({0, false, 0xf6}, 6, divisor, 1, true);
}

void HostAssembler::multiply(u8 reg, u8 factor) {
  op_register({0, false, 0x69}, reg, reg, 4);
  dword(factor);
}

u32 HostAssembler::jmp_forward() {
  byte(0xe9);
  dword(0);
  return offset() - 4;
}

u32 HostAssembler::call_forward() {
  byte(0xe8);
  dword(0);
  return offset() - 4;
}

void HostAssembler::branch_memory(bool call, const HostMem& m) {
  op_memory({0, false, 0xff}, call ? 2 : 4, m, 4);
}

u32 HostAssembler::jcc_forward(u8 condition) {
  byte(0x0f);
  byte(0x80 | condition);
  dword(0);
  return offset() - 4;
}

u32 HostAssembler::jrcxz_short() {
  byte(0xe3);
  byte(0);
  return offset() - 1;
}

u32 HostAssembler::jecxz_short() {
  byte(0x67);
  return jrcxz_short();
}

u32 HostAssembler::jcc_short(u8 condition) {
  byte(0x70 | condition);
  byte(0);
  return offset() - 1;
}

u32 HostAssembler::jmp_short() {
  byte(0xeb);
  byte(0);
  return offset() - 1;
}

void HostAssembler::patch(u32 at) {
  const u32 relative = offset() - (at + 4);
  std::memcpy(buffer_.data() + at, &relative, 4);
}

void HostAssembler::patch_short(u32 at) {
  const u32 relative = offset() - (at + 1);
  EMU_CHECK(relative <= 127);
  buffer_[at] = static_cast<u8>(relative);
}

void HostAssembler::jmp_back(u32 target_offset) {
  byte(0xe9);
  dword(target_offset - (offset() + 4));
}

void HostAssembler::jcc_back(u8 condition, u32 target_offset) {
  byte(0x0f);
  byte(0x80 | condition);
  dword(target_offset - (offset() + 4));
}

void HostAssembler::relative32(const u8* target) {
  // SAFETY: an address used as a number; the stubs lie within 2 GiB of every block.
  const i64 distance =
      static_cast<i64>(__builtin_bit_cast(u64, target)) - static_cast<i64>(address_ + offset() + 4);
  EMU_CHECK(distance == static_cast<i32>(distance));
  dword(static_cast<u32>(distance));
  add_relocation(4, Relocation::Kind::kStub);
}

void HostAssembler::jmp_to(const u8* target) {
  byte(0xe9);
  relative32(target);
}

void HostAssembler::call_to(const u8* target) {
  byte(0xe8);
  relative32(target);
}

void HostAssembler::align_field(unsigned ahead, unsigned size) {
  const unsigned start = (offset() + ahead) & 63;
  if (start + size <= 64) return;
  for (unsigned i = start; i < 64; ++i) byte(0x90);
}

}  // namespace emu
