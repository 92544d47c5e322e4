// SPDX-License-Identifier: Apache-2.0
// The emitter survives arbitrary bytes in every mode, and what it makes decodes again.
#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "frontend/decode_block.h"
#include "tcg/block_emitter.h"

namespace emu {
namespace {

// SAFETY: never executed; only its address is used.
const u8* fake_address(u64 value) {
  return __builtin_bit_cast(const u8*, value);
}

StubTable fake_stubs() {
  StubTable s;
  const u8* base = fake_address(0x10000000);
  s.slow_access = base;
  s.commit_write = base + 0x10;
  s.commit_part = base + 0x20;
  s.call_system = base + 0x30;
  s.link_exit = base + 0x40;
  s.indirect_exit = base + 0x50;
  s.loop_exit = base + 0x60;
  s.raise = base + 0x70;
  return s;
}

// Every emitted byte belongs to an instruction a host decoder accepts.
void expect_decodes(const EmittedBlock& out) {
  ZydisDecoder decoder;
  ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
  ZydisDecodedInstruction info;
  for (std::size_t at = 0; at < out.code.size(); at += info.length) {
    ASSERT_TRUE(ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&decoder, nullptr, &out.code[at],
                                                           out.code.size() - at, &info)))
        << "at " << at;
  }
}

class RandomBytes : public testing::TestWithParam<int> {};

TEST_P(RandomBytes, Emit) {
  std::mt19937_64 random(static_cast<u64>(GetParam()));
  const StubTable stubs = fake_stubs();
  const TcgOptions options;
  BlockEmitter emitter(stubs, options);
  GuestBlock block;
  EmittedBlock out;
  std::vector<u8> bytes(64);
  for (int i = 0; i < 20000; ++i) {
    for (u8& b : bytes) b = static_cast<u8>(random());
    TranslationMode mode;
    mode.code_size = static_cast<u32>(GetParam()) & 3;
    mode.stack_size = (GetParam() == 2 ? 2u : static_cast<u32>(random() & 1)) & 3;
    mode.protected_mode = 1;
    mode.long_mode = GetParam() == 2;
    mode.osfxsr = mode.avx = mode.avx512 = 1;
    mode.flat_segments = (random() & 1) != 0 ? 63 : 0;
    mode.always_slow = (random() & 7) == 0;
    const u64 rip = GetParam() == 2 ? 0xffffffff81000000 : 0x1000;
    if (decode_block({bytes, bytes}, rip, mode, {}, block) != DecodeStatus::kOk) continue;
    emitter.emit(block, fake_address(0x10010000), 7, out);
    ASSERT_FALSE(out.map.empty());
    expect_decodes(out);
    for (const DirectExit& e : out.exits) ASSERT_LE((e.patch_offset & 63) + 4, 64u);
  }
}

INSTANTIATE_TEST_SUITE_P(Modes, RandomBytes, testing::Values(0, 1, 2));

}  // namespace
}  // namespace emu
