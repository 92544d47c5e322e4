// SPDX-License-Identifier: Apache-2.0
// Decoding: where blocks end, classes, flag liveness.
#include "frontend/decode_block.h"

#include <gtest/gtest.h>

#include <vector>

#include "cpu/cpu_state.h"
#include "cpu/fault.h"

namespace emu {
namespace {

TranslationMode mode64() {
  TranslationMode m;
  m.code_size = m.stack_size = static_cast<u32>(CodeSize::k64);
  m.protected_mode = m.long_mode = 1;
  m.osfxsr = m.avx = m.avx512 = 1;
  return m;
}

GuestBlock decode(std::vector<u8> bytes, TranslationMode mode, DecodeLimits limits = {},
                  u64 rip = 0x1000) {
  GuestBlock block;
  EXPECT_EQ(decode_block({bytes, {}}, rip, mode, limits, block), DecodeStatus::kOk);
  return block;
}

TEST(DecodeBlock, EndsAtControlTransfer) {
  // add eax, ebx; jz +2; nop
  const GuestBlock b = decode({0x01, 0xd8, 0x74, 0x02, 0x90}, mode64());
  ASSERT_EQ(b.instructions.size(), 2u);
  EXPECT_EQ(b.instructions[0].kind, InstructionClass::kPlain);
  EXPECT_EQ(b.instructions[1].kind, InstructionClass::kControl);
  EXPECT_EQ(b.length_bytes, 4u);
  EXPECT_EQ(b.next_rip, 0x1004u);
}

TEST(DecodeBlock, FlagsDieWhereTheyAreOverwritten) {
  // mov rax, [rbx]; add eax, ecx; ret
  const GuestBlock b = decode({0x48, 0x8b, 0x03, 0x01, 0xc8, 0xc3}, mode64());
  ASSERT_EQ(b.instructions.size(), 3u);
  EXPECT_EQ(b.instructions[0].flags_live_before, 0);
  EXPECT_EQ(b.instructions[1].flags_live, kFlagsArithmetic);
  EXPECT_EQ(b.instructions[2].flags_live_before, kFlagsArithmetic);
}

TEST(DecodeBlock, ShiftByClMayLeaveFlagsAlone) {
  const GuestBlock b = decode({0xd3, 0xe0, 0x01, 0xc8, 0xc3}, mode64());  // shl eax, cl; add
  EXPECT_EQ(b.instructions[0].flags_written, 0);
}

TEST(DecodeBlock, StopsBeforeAnInstructionOnTheNextPage) {
  const GuestBlock b = decode({0x90, 0x48, 0x8b}, mode64());  // nop; mov r64, ... cut off
  EXPECT_EQ(b.instructions.size(), 1u);
  EXPECT_FALSE(b.crosses_page);
}

TEST(DecodeBlock, CrossingInstructionStandsAlone) {
  const std::vector<u8> first = {0x48, 0x8b}, second = {0x03, 0x90};
  GuestBlock b;
  EXPECT_EQ(decode_block({first, {}}, 0xffe, mode64(), {}, b), DecodeStatus::kNeedsNextPage);
  EXPECT_EQ(decode_block({first, second}, 0xffe, mode64(), {}, b), DecodeStatus::kOk);
  ASSERT_EQ(b.instructions.size(), 1u);
  EXPECT_TRUE(b.crosses_page);
  EXPECT_EQ(b.length_bytes, 3u);
}

TEST(DecodeBlock, InvalidBytesRaiseUd) {
  const GuestBlock b = decode({0x0f, 0x0b}, mode64());
  ASSERT_EQ(b.instructions.size(), 1u);
  EXPECT_EQ(b.instructions[0].kind, InstructionClass::kInvalid);
  EXPECT_EQ(b.instructions[0].vector, kVectorUd);
}

TEST(DecodeBlock, OverlongInstructionRaisesGp) {
  std::vector<u8> bytes(20, 0x66);
  bytes[15] = 0x90;
  const GuestBlock b = decode(bytes, mode64());
  ASSERT_EQ(b.instructions.size(), 1u);
  EXPECT_EQ(b.instructions[0].kind, InstructionClass::kInvalid);
  EXPECT_EQ(b.instructions[0].vector, kVectorGp);
}

TEST(DecodeBlock, FpuIsGatedByControlRegisters) {
  TranslationMode m = mode64();
  m.fpu_ts = 1;
  EXPECT_EQ(decode({0xd9, 0xe8}, m).instructions[0].vector, kVectorNm);        // fld1
  EXPECT_EQ(decode({0x0f, 0x58, 0xc1}, m).instructions[0].vector, kVectorNm);  // addps
  m = mode64();
  m.osfxsr = 0;
  EXPECT_EQ(decode({0x0f, 0x58, 0xc1}, m).instructions[0].vector, kVectorUd);
  m = mode64();
  m.avx = 0;
  EXPECT_EQ(decode({0xc5, 0xf0, 0x58, 0xc2}, m).instructions[0].vector, kVectorUd);
}

TEST(DecodeBlock, CsLimitEndsTheBlock) {
  DecodeLimits limits;
  limits.cs_limit = 0x1001;
  EXPECT_EQ(decode({0x90, 0x90, 0x90}, mode64(), limits).instructions.size(), 2u);
  const GuestBlock b = decode({0x90}, mode64(), limits, 0x1002);
  EXPECT_EQ(b.instructions[0].vector, kVectorGp);
}

TEST(DecodeBlock, SingleStepTakesOneInstruction) {
  TranslationMode m = mode64();
  m.single_step = 1;
  EXPECT_EQ(decode({0x90, 0x90, 0x90}, m).instructions.size(), 1u);
}

}  // namespace
}  // namespace emu
