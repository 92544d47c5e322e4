// SPDX-License-Identifier: Apache-2.0
// What the translator's parts cost, one at a time: decoding, emission, dispatch between blocks, TLB
// hits and misses, the slow path, system instructions, patched code. Times are per guest operation.
// Source of the guests: tests/tcg/small_guest.h. Whole programs are measured by bench/compare.
#include <Zydis/Zydis.h>
#include <benchmark/benchmark.h>

#include "frontend/decode_block.h"
#include "frontend/decode_cache.h"
#include "tcg/block_emitter.h"
#include "tcg/small_guest.h"

namespace emu {
namespace {

using namespace asmjit::x86;

TranslationMode user_mode() {
  TranslationMode mode;
  mode.code_size = static_cast<u32>(CodeSize::k64);
  mode.stack_size = static_cast<u32>(CodeSize::k64);
  mode.long_mode = mode.protected_mode = mode.osfxsr = 1;
  mode.memory_set = static_cast<u32>(MemorySet::kUser);
  mode.flat_segments = 0x3f;
  mode.cpl = 3;
  mode.avx = 1;
  return mode;
}

// Compiled code to translate: this program's decoder library, as the host runs it.
constexpr u64 kSampleBytes = 16 * kKiB;
std::span<const u8> sample() {
  return {reinterpret_cast<const u8*>(&ZydisDecoderDecodeInstruction), kSampleBytes};
}

// Decodes (and with `emit` emits) the sample, block by block.
void translate_sample(benchmark::State& state, bool emit) {
  StubTable stubs;
  std::vector<u8> area(64);  // an address to emit for, with stubs within reach
  stubs.slow_access = stubs.commit_write = stubs.commit_part = stubs.call_system = area.data();
  stubs.link_exit = stubs.indirect_exit = stubs.indirect_miss = area.data();
  stubs.loop_exit = stubs.raise = area.data();
  BlockEmitter emitter(stubs, {});
  GuestBlock block;
  DecodeCache cache;
  EmittedBlock emitted;
  i64 instructions = 0;
  for (auto _ : state) {
    const std::span<const u8> code = sample();
    for (u64 at = 0; at < code.size();) {
      const FetchWindow window{code.subspan(at), {}};
      if (decode_block(window, 0x400000 + at, user_mode(), {}, block, &cache) != DecodeStatus::kOk)
        break;
      if (emit) emitter.emit(block, area.data(), 1, emitted);
      instructions += static_cast<i64>(block.instructions.size());
      at += block.length_bytes != 0 ? block.length_bytes : 1;
    }
  }
  state.SetItemsProcessed(instructions);
}

void BM_Decode(benchmark::State& state) {
  translate_sample(state, false);
}
void BM_DecodeAndEmit(benchmark::State& state) {
  translate_sample(state, true);
}

// A guest that does `body` many times: ECX counts, RSI points to data, RDI to the same data at
// another linear page that shares its place in the TLB.
constexpr u64 kDataAt = 0x200000;
constexpr u64 kAlias = 2 * kGiB;
constexpr u32 kTimes = 200'000;
constexpr u64 kFunctionAt = 0x40010;

void run_guest(benchmark::State& state, unsigned operations,
               const std::function<void(Assembler&)>& body) {
  SmallGuest g;
  CpuState s = g.long_mode();
  store_le(g.ram() + SmallGuest::kPageTablesAt + 0x1010,
           u64{SmallGuest::kPageTablesAt + 0x2000} | 7);
  s.cr4 |= kCr4Pcide;
  s.gpr[kRsi] = kDataAt;
  s.gpr[kRdi] = kAlias + kDataAt;
  s.lstar = kFunctionAt;
  s.star = u64{8} << 32 | u64{8} << 48;
  g.load(kFunctionAt, {0xb8, 0, 0, 0, 0, 0xc3});  // mov eax, N; ret
  g.assemble(SmallGuest::kCodeAt, [&](Assembler& a) {
    const auto loop = a.newLabel();
    a.mov(ecx, kTimes);
    a.bind(loop);
    body(a);
    a.dec(ecx);
    a.jnz(loop);
    a.out(0xf4, eax);
    a.hlt();
  });
  for (auto _ : state) g.run(s);
  state.SetItemsProcessed(state.iterations() * i64{kTimes} * operations);
}

void BM_EmptyLoop(benchmark::State& state) {
  run_guest(state, 1, [](Assembler&) {});
}
void BM_ChainedJumps(benchmark::State& state) {
  run_guest(state, 8, [](Assembler& a) {
    for (int i = 0; i < 8; ++i) {
      const auto next = a.newLabel();
      a.jmp(next);
      a.bind(next);
    }
  });
}
void BM_IndirectJumps(benchmark::State& state) {
  run_guest(state, 8, [](Assembler& a) {
    for (int i = 0; i < 8; ++i) {
      const auto next = a.newLabel();
      a.lea(rax, ptr(next));
      a.jmp(rax);
      a.bind(next);
    }
  });
}
void BM_CallAndReturn(benchmark::State& state) {
  run_guest(state, 1, [](Assembler& a) { a.call(u64{kFunctionAt}); });
}
void BM_TlbHit(benchmark::State& state) {
  run_guest(state, 8, [](Assembler& a) {
    for (int i = 0; i < 8; ++i) a.mov(rax, qword_ptr(rsi, 64 * i));
  });
}
void BM_TlbMiss(benchmark::State& state) {
  run_guest(state, 2, [](Assembler& a) {
    a.mov(rax, qword_ptr(rsi));
    a.mov(rax, qword_ptr(rdi));
  });
}
void BM_PageCrossing(benchmark::State& state) {
  run_guest(state, 1, [](Assembler& a) { a.mov(rax, qword_ptr(rsi, 4093)); });
}
void BM_DeviceAccess(benchmark::State& state) {
  run_guest(state, 1, [](Assembler& a) { a.mov(eax, dword_ptr(u64{SmallGuest::kMmioBase})); });
}
void BM_SystemInstruction(benchmark::State& state) {
  run_guest(state, 1, [](Assembler& a) { a.mov(rax, cr0); });
}
// To another PCID and its page, keeping what both had.
void BM_AddressSpaceSwitch(benchmark::State& state) {
  run_guest(state, 1, [](Assembler& a) {
    a.mov(rax, cr3);
    a.xor_(eax, 3);
    a.bts(rax, 63);
    a.mov(cr3, rax);
    a.mov(rdx, qword_ptr(rsi));
  });
}
void BM_ModeChange(benchmark::State& state) {
  run_guest(state, 2, [](Assembler& a) {
    a.cli();
    a.clts();
    a.mov(rax, cr3);
    a.mov(cr3, rax);
  });
}
void BM_PatchedConstant(benchmark::State& state) {
  run_guest(state, 1, [](Assembler& a) {
    a.mov(dword_ptr(kFunctionAt + 1), ecx);
    a.call(u64{kFunctionAt});
  });
}

BENCHMARK(BM_Decode);
BENCHMARK(BM_DecodeAndEmit);
BENCHMARK(BM_EmptyLoop);
BENCHMARK(BM_ChainedJumps);
BENCHMARK(BM_IndirectJumps);
BENCHMARK(BM_CallAndReturn);
BENCHMARK(BM_TlbHit);
BENCHMARK(BM_TlbMiss);
BENCHMARK(BM_PageCrossing);
BENCHMARK(BM_DeviceAccess);
BENCHMARK(BM_SystemInstruction);
BENCHMARK(BM_AddressSpaceSwitch);
BENCHMARK(BM_ModeChange);
BENCHMARK(BM_PatchedConstant);

}  // namespace
}  // namespace emu

BENCHMARK_MAIN();
