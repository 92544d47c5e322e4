// SPDX-License-Identifier: Apache-2.0
// An instruction out of the decode cache is, field for field, what decoding gives: for compiled
// code, for random bytes, and for the same forms with other displacements and immediates.
#include "frontend/decode_cache.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "frontend/decode_block.h"

namespace emu {
namespace {

TranslationMode mode_of(CodeSize size) {
  TranslationMode mode;
  mode.code_size = mode.stack_size = static_cast<u32>(size) & 3;
  mode.protected_mode = mode.osfxsr = mode.avx = mode.avx512 = 1;
  mode.long_mode = size == CodeSize::k64 ? 1 : 0;
  mode.cpl = 3;
  return mode;
}

bool same_raw(const ZydisDecodedInstruction& a, const ZydisDecodedInstruction& b) {
  for (unsigned i = 0; i < 2; ++i) {
    if (a.raw.imm[i].size != b.raw.imm[i].size || a.raw.imm[i].offset != b.raw.imm[i].offset ||
        a.raw.imm[i].value.u != b.raw.imm[i].value.u) {
      return false;
    }
  }
  return a.raw.disp.size == b.raw.disp.size && a.raw.disp.value == b.raw.disp.value &&
         a.raw.disp.offset == b.raw.disp.offset && a.raw.modrm.offset == b.raw.modrm.offset;
}

bool same_operand(const ZydisDecodedOperand& a, const ZydisDecodedOperand& b) {
  if (a.type != b.type || a.size != b.size || a.actions != b.actions || a.encoding != b.encoding) {
    return false;
  }
  switch (a.type) {
    case ZYDIS_OPERAND_TYPE_REGISTER:
      return a.reg.value == b.reg.value;
    case ZYDIS_OPERAND_TYPE_MEMORY:
      return a.mem.base == b.mem.base && a.mem.index == b.mem.index && a.mem.scale == b.mem.scale &&
             a.mem.segment == b.mem.segment && a.mem.type == b.mem.type &&
             a.mem.disp.has_displacement == b.mem.disp.has_displacement &&
             a.mem.disp.value == b.mem.disp.value;
    case ZYDIS_OPERAND_TYPE_IMMEDIATE:
      return a.imm.value.u == b.imm.value.u && a.imm.is_signed == b.imm.is_signed &&
             a.imm.is_relative == b.imm.is_relative;
    default:
      return a.ptr.segment == b.ptr.segment && a.ptr.offset == b.ptr.offset;
  }
}

bool same(const GuestInstruction& a, const GuestInstruction& b) {
  if (a.length != b.length || a.kind != b.kind || a.ends_block != b.ends_block ||
      a.vector != b.vector || a.flags_read != b.flags_read || a.flags_written != b.flags_written ||
      a.info.mnemonic != b.info.mnemonic) {
    return false;
  }
  if (a.kind == InstructionClass::kInvalid) return true;
  if (a.info.operand_count != b.info.operand_count || a.info.attributes != b.info.attributes ||
      a.info.operand_width != b.info.operand_width || !same_raw(a.info, b.info)) {
    return false;
  }
  for (unsigned i = 0; i < a.info.operand_count; ++i) {
    if (!same_operand(a.operands[i], b.operands[i])) return false;
  }
  return true;
}

// Decodes `bytes` with and without the cache.
void expect_same(DecodeCache& cache, TranslationMode mode, std::span<const u8> bytes) {
  GuestBlock plain, cached;
  const FetchWindow window{bytes, {}};
  const DecodeLimits limits{1, ~u64{0}};
  const auto a = decode_block(window, 0x1000, mode, limits, plain);
  const auto b = decode_block(window, 0x1000, mode, limits, cached, &cache);
  ASSERT_EQ(a, b);
  if (a != DecodeStatus::kOk) return;
  if (same(plain.instructions[0], cached.instructions[0])) return;
  std::string text;
  for (u8 byte : bytes) text += fmt::format("{:02x} ", byte);
  FAIL() << text;
}

class Modes : public testing::TestWithParam<CodeSize> {};

TEST_P(Modes, AgreesWithDecodingForRandomFormsAndOperands) {
  DecodeCache cache;
  std::mt19937_64 random(7);
  const TranslationMode mode = mode_of(GetParam());
  constexpr u8 kUsual[] = {0x48, 0x0f, 0x8b, 0x89, 0x83, 0x81, 0xc7, 0xe8, 0xe9, 0x05, 0xb8, 0xc1,
                           0xff, 0xf7, 0x66, 0xc5, 0xc4, 0x62, 0xa1, 0x69, 0x6b, 0xc0, 0xf2, 0x24};
  for (unsigned i = 0; i < 60'000; ++i) {
    u8 bytes[15];
    for (u8& b : bytes) b = static_cast<u8>(random());
    for (unsigned k = 0; k < 3; ++k) {
      if (random() % 3 != 0) bytes[k] = kUsual[random() % sizeof kUsual];
    }
    expect_same(cache, mode, bytes);
    // The same beginning, another end: at every place from the second byte on.
    for (unsigned from = 1; from < 8; ++from) {
      u8 other[15];
      std::memcpy(other, bytes, sizeof other);
      for (unsigned k = from; k < 15; ++k) other[k] = static_cast<u8>(random());
      expect_same(cache, mode, {other, random() % 15 + 1});
    }
  }
}

INSTANTIATE_TEST_SUITE_P(DecodeCache, Modes,
                         testing::Values(CodeSize::k16, CodeSize::k32, CodeSize::k64));

TEST(DecodeCache, CompiledCodeHitsAndAgrees) {
  DecodeCache cache;
  const TranslationMode mode = mode_of(CodeSize::k64);
  const auto* code = reinterpret_cast<const u8*>(&ZydisDecoderDecodeInstruction);
  unsigned hits = 0, count = 0;
  GuestBlock block;
  for (unsigned at = 0; at < 8000; ++count) {
    ASSERT_EQ(decode_block({{code + at, 15}, {}}, at, mode, {1, ~u64{0}}, block),
              DecodeStatus::kOk);
    GuestInstruction found = block.instructions[0];
    if (cache.find(found, mode, 15)) {
      ++hits;
      EXPECT_TRUE(same(found, block.instructions[0])) << at;
    } else {
      cache.add(block.instructions[0], mode);
    }
    at += block.length_bytes;
  }
  EXPECT_GT(hits * 2, count);
}

}  // namespace
}  // namespace emu
