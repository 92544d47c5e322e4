// SPDX-License-Identifier: Apache-2.0
// Two processors that hammer locks, interrupt each other, move pages and rewrite code that both
// run, in random order and at once. EMU_STRESS=N makes it N times as long.
// Source: Intel SDM vol. 3 9.1 (locked operations), 9.1.3 (cross-modifying code), 4.10.5
// (shoot-down), 11.6 (interrupts between processors).
#include <cstdlib>

#include "tcg/small_guest.h"

namespace emu {
namespace {

using namespace asmjit::x86;

constexpr u64 kSecondCodeAt = 0x20000, kSecondStackTop = 0xa0000;
constexpr u64 kSharedAt = 0x30000;
constexpr u64 kCrossingAt = 0x33ffc;  // a counter on two pages
constexpr u64 kFunctionAt = 0x40010;  // mov eax, N; ret
constexpr u64 kWindow = 0x3fe00000;   // the last 2 MiB of the first GiB: 4 KiB pages
constexpr u64 kTable = 0x190000;
constexpr u64 kFrames = 0x300000;  // sixteen pages that hold their numbers
constexpr unsigned kShootVector = 0x41, kCountVector = 0x42;
constexpr u64 kShootAt = 0x50000, kCountAt = 0x50100;

// Shared words, a cache line each.
enum Word : unsigned {
  kIncrements,
  kSum,
  kLock,
  kGuarded,   // changed under the lock, without lock prefixes
  kValue,     // what the function returns, under the lock
  kFrame,     // where the shared page is, under the lock
  kAnswers,   // to shoot-downs
  kReceived,  // interrupts
  kSent,
  kLocked,  // times the lock was taken
  kCrossings,
  kDone,
};
Mem word(unsigned w) {
  return qword_ptr(kSharedAt + 64 * w);
}

u64 rounds() {
  const char* factor = std::getenv("EMU_STRESS");
  return 20'000 * (factor != nullptr ? std::strtoull(factor, nullptr, 10) : 1);
}

// The program of one processor. R12: rounds left, R13: random numbers, R15: which processor.
class Program {
 public:
  Program(Assembler& assembler, unsigned cpu) : a(assembler), cpu_(cpu) {}

  void emit(u64 count) {
    const auto loop = a.newLabel(), next = a.newLabel();
    a.mov(r12, count);
    a.mov(r13d, 0x1234567 + cpu_);
    a.bind(loop);
    a.imul(r13, r13, 0x41c64e6d);
    a.add(r13, 12345);
    a.mov(ebx, r13d);
    a.shr(ebx, 20);
    a.and_(ebx, 7);
    const std::function<void()> operations[] = {
        [this] { count_up(); },  [this] { cross_page(); }, [this] { patch_code(); },
        [this] { run_code(); },  [this] { move_own(); },   [this] { move_shared(); },
        [this] { interrupt(); }, [this] { read_shared(); }};
    for (u32 i = 0; i < 8; ++i) {
      const auto other = a.newLabel();
      a.cmp(ebx, i);
      a.jne(other);
      operations[i]();
      a.jmp(next);
      a.bind(other);
    }
    a.bind(next);
    a.dec(r12);
    a.jnz(loop);
    finish();
  }

 private:
  void fail(u32 number) {
    a.mov(eax, 100 + number);
    a.out(0xf4, eax);
    const auto here = a.newLabel();
    a.bind(here);
    a.pause();
    a.jmp(here);
  }
  // Goes on if the flags say "equal".
  void require_equal(u32 number) {
    const auto right = a.newLabel();
    a.je(right);
    fail(number);
    a.bind(right);
  }
  void lock() {
    const auto again = a.newLabel(), taken = a.newLabel();
    a.bind(again);
    a.mov(eax, 1);
    a.xchg(word(kLock), rax);
    a.test(rax, rax);
    a.jz(taken);
    a.pause();
    a.jmp(again);
    a.bind(taken);
    a.inc(word(kGuarded));
    a.lock().inc(word(kLocked));
  }
  void unlock() { a.mov(word(kLock), 0); }

  void count_up() {
    const auto again = a.newLabel();
    a.lock().inc(word(kIncrements));
    a.mov(rax, word(kSum));
    a.bind(again);
    a.lea(rdx, ptr(rax, 3));
    a.lock().cmpxchg(word(kSum), rdx);
    a.jne(again);
  }
  void cross_page() {
    a.lock().inc(word(kCrossings));
    a.mov(eax, 1);
    a.lock().xadd(qword_ptr(kCrossingAt), rax);
    a.lock().add(qword_ptr(kCrossingAt), 2);
  }
  void patch_code() {
    lock();
    a.mov(dword_ptr(kFunctionAt + 1), r13d);
    a.mov(eax, r13d);
    a.mov(word(kValue), rax);
    call_function(1);
    unlock();
  }
  void run_code() {
    lock();
    a.xor_(eax, eax);
    a.cpuid();  // serializes
    call_function(2);
    unlock();
  }
  void call_function(u32 number) {
    a.mov(edx, static_cast<u32>(kFunctionAt));
    a.call(rdx);
    a.cmp(rax, word(kValue));
    require_equal(number);
  }
  // RCX = a frame by chance, RAX its page table entry.
  void choose_frame() {
    a.mov(rcx, r13);
    a.shr(rcx, 23);
    a.and_(ecx, 15);
    a.mov(eax, ecx);
    a.shl(eax, 12);
    a.add(eax, static_cast<u32>(kFrames | 0x67));
  }
  void check_page(u64 page, u32 number) {
    a.mov(edi, static_cast<u32>(page));
    a.cmp(qword_ptr(rdi), rcx);
    require_equal(number);
  }
  void move_own() {
    const u64 page = kWindow + (1 + cpu_) * kPageBytes;
    choose_frame();
    a.mov(qword_ptr(kTable + 8 * (1 + cpu_)), rax);
    a.mov(edi, static_cast<u32>(page));
    a.invlpg(ptr(rdi));
    check_page(page, 3);
  }
  void move_shared() {
    const auto wait = a.newLabel();
    lock();
    choose_frame();
    a.mov(qword_ptr(kTable), rax);
    a.mov(word(kFrame), rcx);
    a.mov(rdx, word(kAnswers));
    a.inc(rdx);
    a.mov(eax, kShootVector);
    a.out(0xf6, eax);
    a.mov(edi, static_cast<u32>(kWindow));
    a.invlpg(ptr(rdi));
    a.bind(wait);
    a.pause();
    a.cmp(word(kAnswers), rdx);
    a.jne(wait);
    check_page(kWindow, 4);
    unlock();
  }
  void read_shared() {
    lock();
    a.mov(rcx, word(kFrame));
    check_page(kWindow, 5);
    unlock();
  }
  void interrupt() {
    a.lock().inc(word(kSent));
    a.mov(eax, kCountVector);
    a.out(0xf6, eax);
  }
  // Both wait until both are done and all interrupts have arrived.
  void finish() {
    const auto wait = a.newLabel();
    a.lock().inc(word(kDone));
    a.bind(wait);
    a.pause();
    a.cmp(word(kDone), 2);
    a.jne(wait);
    a.mov(rax, word(kSent));
    a.cmp(word(kReceived), rax);
    a.jne(wait);
    a.mov(eax, 1);
    a.out(0xf4, eax);
    a.bind(spin_);
    a.pause();
    a.jmp(spin_);
  }

  Assembler& a;
  unsigned cpu_;
  asmjit::Label spin_ = a.newLabel();
};

TEST(TwoCpusStress, NothingIsLostOrStale) {
  SmallGuest g({}, 2);
  CpuState first = g.long_mode();
  first.rflags |= kFlagIf;
  CpuState second = first;
  second.rip = kSecondCodeAt;
  second.gpr[kRsp] = kSecondStackTop;
  store_le(g.ram() + SmallGuest::kPageTablesAt + 0x2000 + 8 * 511, kTable | 7);
  for (u64 i = 0; i < 16; ++i) {
    store_le(g.ram() + kTable + 8 * i, kFrames | 0x67);
    store_le(g.ram() + kFrames + i * kPageBytes, i);
  }
  g.load(kFunctionAt, {0xb8, 0, 0, 0, 0, 0xc3});
  g.set_gate(kShootVector, kShootAt);
  g.set_gate(kCountVector, kCountAt);
  g.assemble(kShootAt, [](Assembler& a) {
    a.push(rdi);
    a.mov(edi, static_cast<u32>(kWindow));
    a.invlpg(ptr(rdi));
    a.pop(rdi);
    a.lock().inc(word(kAnswers));
    a.iretq();
  });
  g.assemble(kCountAt, [](Assembler& a) {
    a.lock().inc(word(kReceived));
    a.iretq();
  });
  const u64 count = rounds();
  g.assemble(SmallGuest::kCodeAt, [&](Assembler& a) { Program(a, 0).emit(count); });
  g.assemble(kSecondCodeAt, [&](Assembler& a) { Program(a, 1).emit(count); });
  g.run_both(first, second);

  const auto value = [&](unsigned w) { return load_le<u64>(g.ram() + kSharedAt + 64 * w); };
  EXPECT_EQ(g.exit_value, 1u) << "101: own patch, 102: the other's, 103: own page, 104 and 105: "
                                 "the shared page";
  EXPECT_EQ(value(kSum), 3 * value(kIncrements));
  EXPECT_EQ(value(kGuarded), value(kLocked));
  EXPECT_EQ(load_le<u64>(g.ram() + kCrossingAt), 3 * value(kCrossings))
      << "locked operations that cross a page";
  EXPECT_EQ(value(kReceived), value(kSent));
  EXPECT_GT(value(kCrossings), count / 8);
}

}  // namespace
}  // namespace emu
