// SPDX-License-Identifier: Apache-2.0
// Source: Intel SDM vol. 2 ch. 2 (instruction format), app. A (which opcodes have a ModRM byte).
#include "frontend/decode_cache.h"

#include <algorithm>
#include <cstring>

namespace emu {
namespace {

u64 read_bytes(const u8* at, unsigned count) {
  u64 value = 0;
  std::memcpy(&value, at, count);
  return value;
}

// A field of `size_bits` as the decoder extends it.
u64 read_field(const u8* at, unsigned size_bits, bool is_signed) {
  const u64 value = read_bytes(at, size_bits / 8);
  if (!is_signed || size_bits == 64) return value;
  const unsigned shift = 64 - size_bits;
  return static_cast<u64>(static_cast<i64>(value << shift) >> shift);
}

bool is_prefix(u8 b) {
  switch (b) {
    case 0x26:
    case 0x2e:
    case 0x36:
    case 0x3e:
    case 0x64:
    case 0x65:
    case 0x66:
    case 0x67:
    case 0xf0:
    case 0xf2:
    case 0xf3:
      return true;
    default:
      return false;
  }
}

bool has_modrm(u8 opcode) {
  if (opcode < 0x40) return (opcode & 7) < 4;
  if (opcode >= 0x80 && opcode < 0x90) return true;
  switch (opcode) {
    case 0x62:
    case 0x63:
    case 0x69:
    case 0x6b:
    case 0xc0:
    case 0xc1:
    case 0xc4:
    case 0xc5:
    case 0xc6:
    case 0xc7:
    case 0xf6:
    case 0xf7:
    case 0xfe:
    case 0xff:
      return true;
    default:
      return (opcode >= 0xd0 && opcode < 0xd4) || (opcode >= 0xd8 && opcode < 0xe0);
  }
}

// Bytes up to the last that can be neither displacement nor immediate, or a few more or less: this
// only chooses the place in the table.
unsigned form_length(const u8* bytes, bool code64) {
  unsigned at = 0;
  while (at < 4 && is_prefix(bytes[at])) ++at;
  if (code64 && (bytes[at] & 0xf0) == 0x40) ++at;
  const u8 opcode = bytes[at];
  if (opcode == 0x62) return at + 6;
  if (opcode == 0xc4) return at + 5;
  if (opcode == 0xc5) return at + 4;
  bool modrm = has_modrm(opcode);
  if (opcode == 0x0f) {
    ++at;
    const u8 second = bytes[at];
    if (second == 0x38 || second == 0x3a) ++at;
    modrm = (second & 0xf0) != 0x80 && second != 0x05 && second != 0x0b && second != 0x31;
  }
  ++at;
  if (!modrm) return at;
  const u8 m = bytes[at++];
  if (m < 0xc0 && (m & 7) == 4) ++at;
  if (opcode == 0xc0 || opcode == 0xc1) ++at;  // shift counts are part of the form
  return at;
}

// Whether an 8-bit immediate is nothing but a number.
bool is_number(ZydisMnemonic mnemonic) {
  switch (mnemonic) {
    case ZYDIS_MNEMONIC_ADD:
    case ZYDIS_MNEMONIC_OR:
    case ZYDIS_MNEMONIC_ADC:
    case ZYDIS_MNEMONIC_SBB:
    case ZYDIS_MNEMONIC_AND:
    case ZYDIS_MNEMONIC_SUB:
    case ZYDIS_MNEMONIC_XOR:
    case ZYDIS_MNEMONIC_CMP:
    case ZYDIS_MNEMONIC_TEST:
    case ZYDIS_MNEMONIC_MOV:
    case ZYDIS_MNEMONIC_PUSH:
    case ZYDIS_MNEMONIC_IMUL:
      return true;
    default:
      return false;
  }
}

}  // namespace

DecodeCache::DecodeCache() : entries_(std::make_unique<Entry[]>(1u << kIndexBits)) {}

DecodeCache::Image DecodeCache::image_of(const GuestInstruction& g) {
  return {read_bytes(g.bytes, 8), read_bytes(g.bytes + 8, sizeof g.bytes - 8)};
}

unsigned DecodeCache::index_of(const Image& image, const u8* bytes, TranslationMode mode) {
  const unsigned length = std::min(form_length(bytes, mode.code64()), 8u);
  const u64 form = length == 8 ? image.low : image.low & ((u64{1} << 8 * length) - 1);
  return static_cast<unsigned>(((form ^ mode.packed()) * 0x9e3779b97f4a7c15u) >> (64 - kIndexBits));
}

bool DecodeCache::find(GuestInstruction& g, TranslationMode mode, std::size_t available) const {
  const Image image = image_of(g);
  const Entry& e = entries_[index_of(image, g.bytes, mode)];
  if (e.mode != mode.packed() || e.length == 0 || e.length > available ||
      (image.low & e.mask.low) != e.form.low || (image.high & e.mask.high) != e.form.high) {
    return false;
  }
  g.length = e.length;
  g.kind = e.kind;
  g.ends_block = e.ends_block;
  g.vector = e.vector;
  g.flags_read = e.flags_read;
  g.flags_written = e.flags_written;
  g.info = e.info;
  std::memcpy(g.operands, e.operands, e.info.operand_count * sizeof(ZydisDecodedOperand));
  if (e.immediate_operand != kNone) {
    auto& raw = g.info.raw.imm[0];
    raw.value.u = read_field(g.bytes + raw.offset, raw.size, raw.is_signed != 0);
    g.operands[e.immediate_operand].imm.value.u = raw.value.u;
  }
  if (e.memory_operand != kNone) {
    auto& raw = g.info.raw.disp;
    raw.value = static_cast<i64>(read_field(g.bytes + raw.offset, raw.size, true));
    g.operands[e.memory_operand].mem.disp.value = raw.value;
  }
  return true;
}

void DecodeCache::leave_out(Image& mask, unsigned offset, unsigned length) {
  for (unsigned i = offset; i < offset + length; ++i) {
    (i < 8 ? mask.low : mask.high) &= ~(u64{0xff} << 8 * (i & 7));
  }
}

// The immediate, if it is one that only fills in an operand.
void DecodeCache::find_immediate(const GuestInstruction& g, Entry& entry) {
  const auto& raw = g.info.raw.imm[0];
  if (raw.size == 0 || g.info.raw.imm[1].size != 0) return;
  if (g.info.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY) return;
  if (raw.size == 8 && raw.is_relative == 0 && !is_number(g.info.mnemonic)) return;
  unsigned found = 0;
  for (unsigned i = 0; i < g.info.operand_count; ++i) {
    if (g.operands[i].type != ZYDIS_OPERAND_TYPE_IMMEDIATE) continue;
    entry.immediate_operand = static_cast<u8>(i);
    ++found;
  }
  const u64 value = read_field(g.bytes + raw.offset, raw.size, raw.is_signed != 0);
  if (found != 1 || raw.value.u != value ||
      g.operands[entry.immediate_operand].imm.value.u != value) {
    entry.immediate_operand = kNone;
    return;
  }
  leave_out(entry.mask, raw.offset, raw.size / 8u);
}

void DecodeCache::find_displacement(const GuestInstruction& g, Entry& entry) {
  const auto& raw = g.info.raw.disp;
  if (raw.size == 0) return;
  if (g.info.encoding != ZYDIS_INSTRUCTION_ENCODING_LEGACY &&
      g.info.encoding != ZYDIS_INSTRUCTION_ENCODING_VEX) {
    return;  // EVEX scales it
  }
  unsigned found = 0;
  for (unsigned i = 0; i < g.info.operand_count; ++i) {
    if (g.operands[i].type != ZYDIS_OPERAND_TYPE_MEMORY ||
        g.operands[i].mem.disp.has_displacement == 0) {
      continue;
    }
    entry.memory_operand = static_cast<u8>(i);
    ++found;
  }
  const auto value = static_cast<i64>(read_field(g.bytes + raw.offset, raw.size, true));
  if (found != 1 || raw.value != value ||
      g.operands[entry.memory_operand].mem.disp.value != value) {
    entry.memory_operand = kNone;
    return;
  }
  leave_out(entry.mask, raw.offset, raw.size / 8u);
}

void DecodeCache::add(const GuestInstruction& g, TranslationMode mode) {
  if (g.info.operand_count > kMaxOperands) return;
  const Image image = image_of(g);
  Entry& e = entries_[index_of(image, g.bytes, mode)];
  e.mask = {~u64{0}, ~u64{0}};
  leave_out(e.mask, g.length, 16u - g.length);
  e.immediate_operand = e.memory_operand = kNone;
  find_immediate(g, e);
  find_displacement(g, e);
  e.form = {image.low & e.mask.low, image.high & e.mask.high};
  e.mode = mode.packed();
  e.length = g.length;
  e.kind = g.kind;
  e.ends_block = g.ends_block;
  e.vector = g.vector;
  e.flags_read = g.flags_read;
  e.flags_written = g.flags_written;
  e.info = g.info;
  std::memcpy(e.operands, g.operands, g.info.operand_count * sizeof(ZydisDecodedOperand));
}

}  // namespace emu
