// SPDX-License-Identifier: Apache-2.0
// Two processors of one small guest at once: atomic operations, start-up, interrupts, TLB
// shoot-down, and code that one changes while the other runs it.
// Source: Intel SDM vol. 3 9.1 (locked operations), 9.1.3 (cross-modifying code), 9.4 (INIT and
// SIPI), 4.10.5 (propagation of paging-structure changes).
#include "tcg/small_guest.h"

namespace emu {
namespace {

using namespace asmjit::x86;

constexpr u64 kSecondCodeAt = 0x20000;
constexpr u64 kSharedAt = 0x30000;
constexpr u64 kSecondStackTop = 0xa0000;
constexpr u64 kPatchedAt = 0x40000;

// Two processors with one body each; `shared` is RAM both see.
class TwoCpus {
 public:
  explicit TwoCpus(const TcgOptions& options = {}) : g(options, 2), first(g.long_mode()) {
    second = first;
    second.rip = kSecondCodeAt;
    second.gpr[kRsp] = kSecondStackTop;
  }
  u64 shared(unsigned i) { return load_le<u64>(g.ram() + kSharedAt + 8 * i); }
  void run() { g.run_both(first, second); }

  SmallGuest g;
  CpuState first, second;
};

Mem shared(unsigned i) {
  return qword_ptr(kSharedAt + 8 * i);
}

void spin(Assembler& a) {
  const asmjit::Label here = a.newLabel();
  a.bind(here);
  a.pause();
  a.jmp(here);
}

void exit_with(Assembler& a, u32 value) {
  a.mov(eax, value);
  a.out(0xf4, eax);
  spin(a);
}

void wait_for(Assembler& a, const Mem& at, int value) {
  const asmjit::Label again = a.newLabel();
  a.bind(again);
  a.pause();
  a.cmp(at, value);
  a.jne(again);
}

// inc, xadd, cmpxchg and bts, all locked, `count` times each.
void count_up(Assembler& a, u32 count) {
  const auto loop = a.newLabel(), retry = a.newLabel();
  a.mov(ecx, count);
  a.bind(loop);
  a.lock().inc(shared(0));
  a.mov(edx, 3);
  a.lock().xadd(shared(1), rdx);
  a.mov(rax, shared(2));
  a.bind(retry);
  a.lea(rbx, qword_ptr(rax, 5));
  a.lock().cmpxchg(shared(2), rbx);
  a.jne(retry);
  a.dec(ecx);
  a.jnz(loop);
}

TEST(TwoCpus, LockedCountersLoseNothing) {
  static constexpr u32 kCount = 200'000;
  TwoCpus t;
  t.g.assemble(SmallGuest::kCodeAt, [](Assembler& a) {
    count_up(a, kCount);
    wait_for(a, shared(3), 1);
    exit_with(a, 1);
  });
  t.g.assemble(kSecondCodeAt, [](Assembler& a) {
    count_up(a, kCount);
    a.mov(shared(3), 1);
    spin(a);
  });
  t.run();
  EXPECT_EQ(t.g.exit_value, 1u);
  EXPECT_EQ(t.shared(0), 2u * kCount);
  EXPECT_EQ(t.shared(1), 6u * kCount);
  EXPECT_EQ(t.shared(2), 10u * kCount);
}

// Stores become visible in order, and a store is seen by the other before a later xchg is.
TEST(TwoCpus, MessagesArriveInOrder) {
  static constexpr int kRounds = 3'000;
  TwoCpus t;
  t.g.assemble(SmallGuest::kCodeAt, [](Assembler& a) {
    const auto loop = a.newLabel(), ready = a.newLabel();
    a.xor_(ecx, ecx);
    a.bind(loop);
    a.inc(rcx);
    a.mov(shared(0), rcx);   // the message
    a.mov(shared(16), rcx);  // its flag, on another line
    a.bind(ready);
    a.pause();
    a.cmp(shared(32), rcx);  // taken
    a.jne(ready);
    a.cmp(ecx, kRounds);
    a.jne(loop);
    exit_with(a, 1);
  });
  t.g.assemble(kSecondCodeAt, [](Assembler& a) {
    const auto loop = a.newLabel(), wait = a.newLabel(), right = a.newLabel();
    a.xor_(ecx, ecx);
    a.bind(loop);
    a.inc(rcx);
    a.bind(wait);
    a.pause();
    a.cmp(shared(16), rcx);
    a.jne(wait);
    a.cmp(shared(0), rcx);
    a.je(right);
    exit_with(a, 2);
    a.bind(right);
    a.mov(shared(32), rcx);
    a.jmp(loop);
  });
  t.run();
  EXPECT_EQ(t.g.exit_value, 1u);
}

TEST(TwoCpus, InitAndSipiStartTheSecond) {
  TwoCpus t;
  t.second.activity = Activity::kWaitForSipi;
  // Real mode at 5000h: mov byte [cs:800h], 5Ah; cli; hlt
  t.g.load(0x5000, {0x2e, 0xc6, 0x06, 0x00, 0x08, 0x5a, 0xfa, 0xf4, 0xeb, 0xfd});
  t.g.assemble(SmallGuest::kCodeAt, [](Assembler& a) {
    a.out(0xf7, eax);
    a.mov(eax, 5);
    a.out(0xf8, eax);
    const auto wait = a.newLabel();
    a.bind(wait);
    a.pause();
    a.cmp(byte_ptr(u64{0x5800}), 0x5a);
    a.jne(wait);
    a.mov(byte_ptr(u64{0x5800}), 0);
    a.out(0xf8, eax);  // ignored: it does not wait for one
    a.out(0xf7, eax);
    a.mov(eax, 5);
    a.out(0xf8, eax);  // again, from its HLT
    const auto again = a.newLabel();
    a.bind(again);
    a.pause();
    a.cmp(byte_ptr(u64{0x5800}), 0x5a);
    a.jne(again);
    exit_with(a, 1);
  });
  t.run();
  EXPECT_EQ(t.g.exit_value, 1u);
}

// Each side interrupts the other out of HLT; a lost wake-up would hang.
TEST(TwoCpus, InterruptsBetweenHaltedProcessors) {
  static constexpr u32 kRounds = 1'000;
  TwoCpus t;
  t.first.rflags |= kFlagIf;
  t.second.rflags |= kFlagIf;
  t.g.set_gate(0x41, 0x50000);
  t.g.set_gate(0x42, 0x51000);
  t.g.assemble(0x50000, [](Assembler& a) {
    a.inc(r12);
    a.iretq();
  });
  t.g.assemble(0x51000, [](Assembler& a) {
    a.mov(eax, 0x41);
    a.out(0xf6, eax);
    a.iretq();
  });
  t.g.assemble(SmallGuest::kCodeAt, [](Assembler& a) {
    const auto loop = a.newLabel(), wait = a.newLabel(), there = a.newLabel();
    a.xor_(r12d, r12d);
    a.xor_(r13d, r13d);
    a.bind(loop);
    a.inc(r13d);
    a.mov(eax, 0x42);
    a.out(0xf6, eax);
    a.bind(wait);
    a.cli();
    a.cmp(r12d, r13d);
    a.je(there);
    a.sti();
    a.hlt();
    a.jmp(wait);
    a.bind(there);
    a.sti();
    a.cmp(r13d, kRounds);
    a.jne(loop);
    exit_with(a, 1);
  });
  t.g.assemble(kSecondCodeAt, [](Assembler& a) {
    const auto here = a.newLabel();
    a.bind(here);
    a.hlt();
    a.jmp(here);
  });
  t.run();
  EXPECT_EQ(t.g.exit_value, 1u);
}

// The second processor calls mov eax, N; ret again and again. The first changes N, and goes on when
// the second has seen it.
void patch_and_call(const TcgOptions& options, u32 rounds) {
  TwoCpus t(options);
  t.g.assemble(kPatchedAt, [](Assembler& a) {
    a.mov(eax, 0);
    a.ret();
  });
  t.g.assemble(SmallGuest::kCodeAt, [rounds](Assembler& a) {
    const auto loop = a.newLabel(), wait = a.newLabel();
    a.xor_(ecx, ecx);
    a.bind(loop);
    a.inc(ecx);
    a.mov(dword_ptr(kPatchedAt + 1), ecx);
    a.bind(wait);
    a.pause();
    a.cmp(shared(0), rcx);
    a.jne(wait);
    a.cmp(ecx, rounds);
    a.jne(loop);
    exit_with(a, 1);
  });
  t.g.assemble(kSecondCodeAt, [](Assembler& a) {
    const auto loop = a.newLabel();
    a.mov(ebx, static_cast<u32>(kPatchedAt));
    a.bind(loop);
    a.call(rbx);
    a.mov(shared(0), rax);
    a.pause();
    a.jmp(loop);
  });
  t.run();
  EXPECT_EQ(t.g.exit_value, 1u);
}

TEST(TwoCpus, CodeChangedByOneIsSeenByTheOther) {
  patch_and_call({}, 300);
}

TEST(TwoCpus, CodeChangedByOneIsSeenWithoutChains) {
  TcgOptions options;
  options.chain = options.jump_cache = false;
  patch_and_call(options, 100);
}

// So small a cache that both empty it all the time.
TEST(TwoCpus, TheCodeCacheMayRunFullUnderBoth) {
  static constexpr u64 kFarmAt = 0x200000;
  static constexpr u32 kFunctions = 3'000, kStride = 64, kRounds = 3;
  TcgOptions options;
  options.code_cache_bytes = 512 * kKiB;
  TwoCpus t(options);
  for (u32 i = 0; i < kFunctions; ++i) {
    t.g.assemble(kFarmAt + u64{i} * kStride, [i](Assembler& a) {
      const auto over = a.newLabel();
      a.lea(rax, qword_ptr(rax, static_cast<i32>(i)));
      a.test(eax, eax);
      a.js(over);
      a.inc(rax);
      a.bind(over);
      a.ret();
    });
  }
  const auto call_all = [](Assembler& a, unsigned result) {
    const auto rounds = a.newLabel(), loop = a.newLabel();
    a.xor_(eax, eax);
    a.mov(ebp, kRounds);
    a.bind(rounds);
    a.mov(ebx, static_cast<u32>(kFarmAt));
    a.mov(ecx, kFunctions);
    a.bind(loop);
    a.call(rbx);
    a.add(ebx, kStride);
    a.dec(ecx);
    a.jnz(loop);
    a.dec(ebp);
    a.jnz(rounds);
    a.mov(shared(result), rax);
  };
  t.g.assemble(SmallGuest::kCodeAt, [&](Assembler& a) {
    call_all(a, 0);
    const auto wait = a.newLabel();
    a.bind(wait);
    a.pause();
    a.cmp(shared(1), 0);
    a.je(wait);
    exit_with(a, 1);
  });
  t.g.assemble(kSecondCodeAt, [&](Assembler& a) {
    call_all(a, 1);
    spin(a);
  });
  t.run();
  EXPECT_EQ(t.g.exit_value, 1u);
  static constexpr u64 kSum = u64{kRounds} * (u64{kFunctions} * (kFunctions - 1) / 2 + kFunctions);
  EXPECT_EQ(t.shared(0), kSum);
  EXPECT_EQ(t.shared(1), kSum);
}

// The first moves a page between two frames and tells the second to INVLPG it by interrupt, as
// operating systems do; after the answer, nothing of the old frame may be read or executed.
TEST(TwoCpus, TlbShootDownByInterrupt) {
  static constexpr u64 kWindow = 0x40000000 - 0x200000;  // the last 2 MiB of the first GiB
  static constexpr u64 kTable = 0x190000, kFrames[2] = {0x300000, 0x301000};
  static constexpr u32 kRounds = 200;
  TwoCpus t;
  t.second.rflags |= kFlagIf;
  store_le(t.g.ram() + SmallGuest::kPageTablesAt + 0x2000 + 8 * 511, kTable | 7);
  store_le(t.g.ram() + kTable, kFrames[0] | 0x67);
  for (unsigned i = 0; i < 2; ++i) {
    t.g.assemble(kFrames[i], [i](Assembler& a) {
      a.mov(eax, i);
      a.ret();
    });
    store_le(t.g.ram() + kFrames[i] + 64, u64{i});
  }
  t.g.set_gate(0x41, 0x50000);
  t.g.assemble(0x50000, [](Assembler& a) {
    a.invlpg(ptr(kWindow));
    a.lock().inc(shared(0));  // the answer
    a.iretq();
  });
  t.g.assemble(SmallGuest::kCodeAt, [&](Assembler& a) {
    const auto loop = a.newLabel(), wait = a.newLabel(), used = a.newLabel();
    a.xor_(ecx, ecx);
    a.bind(loop);
    a.mov(edx, ecx);
    a.and_(edx, 1);
    a.xor_(edx, 1);
    a.mov(ebx, edx);
    a.shl(edx, 12);
    a.add(edx, static_cast<u32>(kFrames[0] | 0x67));
    a.mov(qword_ptr(kTable), rdx);
    a.mov(eax, 0x41);
    a.out(0xf6, eax);
    a.inc(ecx);
    a.bind(wait);
    a.pause();
    a.cmp(shared(0), rcx);
    a.jne(wait);
    a.mov(shared(1), rbx);  // what the second has to find now
    a.mov(shared(2), rcx);
    a.bind(used);
    a.pause();
    a.cmp(shared(3), rcx);
    a.jne(used);
    a.cmp(ecx, kRounds);
    a.jne(loop);
    exit_with(a, 1);
  });
  t.g.assemble(kSecondCodeAt, [&](Assembler& a) {
    const auto loop = a.newLabel(), right = a.newLabel(), wrong = a.newLabel();
    a.mov(edi, static_cast<u32>(kWindow));
    a.xor_(esi, esi);
    a.bind(loop);
    a.call(rdi);  // keeps every cache warm
    a.mov(rbp, qword_ptr(rdi, 64));
    a.mov(rbx, shared(2));
    a.cmp(rbx, rsi);
    a.je(loop);
    a.call(rdi);
    a.cmp(rax, shared(1));
    a.jne(wrong);
    a.mov(rax, qword_ptr(rdi, 64));
    a.cmp(rax, shared(1));
    a.je(right);
    a.bind(wrong);
    exit_with(a, 2);
    a.bind(right);
    a.mov(rsi, rbx);
    a.mov(shared(3), rbx);
    a.jmp(loop);
  });
  t.run();
  EXPECT_EQ(t.g.exit_value, 1u);
}

TEST(TwoCpus, AKickStopsBothWhateverTheyDo) {
  TwoCpus t;
  t.g.assemble(SmallGuest::kCodeAt, [](Assembler& a) { exit_with(a, 1); });
  t.g.assemble(kSecondCodeAt, [](Assembler& a) {
    const auto here = a.newLabel();  // without a poll but for the jump's
    a.bind(here);
    a.jmp(here);
  });
  t.run();
  EXPECT_EQ(t.g.exit_value, 1u);
}

}  // namespace
}  // namespace emu
