// SPDX-License-Identifier: Apache-2.0
// Code that changes: constants that are patched again and again, data beside code, pages whose
// translations are out of service, and all of it through another address.
// Source: Intel SDM vol. 3 11.6 (self-modifying code), 8.1.3.
#include "tcg/small_guest.h"

namespace emu {
namespace {

using namespace asmjit::x86;

constexpr u64 kFunctionAt = 0x40010;
constexpr u64 kAlias = 2 * kGiB;  // this + x shows what is at x

// The number after `name` in the counters.
u64 counter(SmallGuest& g, const std::string& name) {
  const std::string text = "\n" + g.cpu().counters();
  const auto at = text.find("\n" + name + " ");
  EXPECT_NE(at, std::string::npos) << name;
  return std::stoull(text.substr(at + name.size() + 2));
}

CpuState aliased(SmallGuest& g) {
  CpuState s = g.long_mode();
  store_le(g.ram() + SmallGuest::kPageTablesAt + 0x1010,
           u64{SmallGuest::kPageTablesAt + 0x2000} | 7);
  return s;
}

void exit_with(Assembler& a, const Gp& value) {
  a.mov(eax, value);
  a.out(0xf4, eax);
  a.hlt();
}

// `count` times: `body`; ECX counts down. ESI and EDI are the body's. The sum of what it leaves in
// EAX is the exit value.
u32 run_loop(SmallGuest& g, const CpuState& s, u32 count,
             const std::function<void(Assembler&)>& body) {
  g.assemble(SmallGuest::kCodeAt, [&](Assembler& a) {
    const auto loop = a.newLabel();
    a.mov(ecx, count);
    a.xor_(ebp, ebp);
    a.bind(loop);
    body(a);
    a.add(ebp, eax);
    a.dec(ecx);
    a.jnz(loop);
    exit_with(a, ebp);
  });
  g.run(s);
  return g.exit_value;
}

void call(Assembler& a, u64 address) {
  a.mov(rbx, address);
  a.call(rbx);
}

constexpr u32 kTimes = 3000;
constexpr u32 kSum = kTimes * (kTimes + 1) / 2;

TEST(SelfModifying, PatchedConstantsNeedNoNewTranslation) {
  for (const bool live : {true, false}) {
    TcgOptions options;
    options.live_immediates = live;
    SmallGuest g(options);
    g.load(kFunctionAt, {0xb8, 0, 0, 0, 0, 0xc3});  // mov eax, N; ret
    EXPECT_EQ(run_loop(g, g.long_mode(), kTimes,
                       [](Assembler& a) {
                         a.mov(dword_ptr(kFunctionAt + 1), ecx);
                         call(a, kFunctionAt);
                       }),
              kSum);
    EXPECT_EQ(counter(g, "invalidations") + counter(g, "parked_pages") < 100, live);
  }
}

TEST(SelfModifying, WideConstantsArePatchedToo) {
  SmallGuest g;
  g.load(kFunctionAt, {0x49, 0xb9, 0, 0, 0, 0, 0, 0, 0, 0, 0x4c, 0x89, 0xc8, 0xc3});  // mov r9, N
  EXPECT_EQ(run_loop(g, g.long_mode(), kTimes,
                     [](Assembler& a) {
                       a.mov(qword_ptr(kFunctionAt + 2), rcx);
                       call(a, kFunctionAt);
                     }),
            kSum);
  EXPECT_LT(counter(g, "invalidations"), 100u);
}

TEST(SelfModifying, ConstantsArePatchedThroughAnotherAddress) {
  SmallGuest g;
  g.load(kFunctionAt, {0xb8, 0, 0, 0, 0, 0xc3});
  EXPECT_EQ(run_loop(g, aliased(g), kTimes,
                     [](Assembler& a) {
                       a.mov(rdi, kAlias + kFunctionAt + 1);
                       a.mov(dword_ptr(rdi), ecx);
                       call(a, kFunctionAt);
                     }),
            kSum);
}

TEST(SelfModifying, PartsOfAPatchedConstantAndItsOpcodeChangeToo) {
  SmallGuest g;
  g.load(kFunctionAt, {0xb8, 0, 0, 0, 0, 0xc3});
  // Every sixteenth time the constant is written byte by byte, and the opcode is XOR EAX, N with
  // EAX = 0 instead of MOV.
  EXPECT_EQ(run_loop(g, g.long_mode(), kTimes,
                     [](Assembler& a) {
                       const auto odd = a.newLabel(), go = a.newLabel();
                       a.test(ecx, 15);
                       a.jz(odd);
                       a.mov(byte_ptr(kFunctionAt), 0xb8);
                       a.mov(dword_ptr(kFunctionAt + 1), ecx);
                       a.jmp(go);
                       a.bind(odd);
                       a.mov(byte_ptr(kFunctionAt), 0x35);
                       a.mov(byte_ptr(kFunctionAt + 1), cl);
                       a.mov(byte_ptr(kFunctionAt + 2), ch);
                       a.bind(go);
                       a.xor_(eax, eax);
                       call(a, kFunctionAt);
                     }),
            kSum);
}

TEST(SelfModifying, PatchedConstantsThatAreAlsoInstructions) {
  SmallGuest g;
  // At +0: mov eax, C3xxC0FF. At +1: inc eax (FF C0) or dec eax (FF C8), nop, ret.
  g.load(kFunctionAt, {0xb8, 0xff, 0xc0, 0x90, 0xc3, 0xc3});
  EXPECT_EQ(run_loop(g, g.long_mode(), kTimes,
                     [](Assembler& a) {
                       a.mov(edx, ecx);  // odd: C8, even: C0
                       a.and_(edx, 1);
                       a.shl(edx, 11);
                       a.or_(edx, 0xc390c0ff);
                       a.mov(dword_ptr(kFunctionAt + 1), edx);
                       call(a, kFunctionAt);
                       a.mov(esi, eax);
                       a.mov(eax, 7);
                       call(a, kFunctionAt + 1);  // 8 or 6
                       a.sub(esi, edx);           // 0
                       a.add(eax, esi);
                     }),
            kTimes * 7);
}

TEST(SelfModifying, DataBesideCodeIsCheapToWrite) {
  for (const bool park : {true, false}) {
    TcgOptions options;
    options.park_pages = park;
    SmallGuest g(options);
    g.load(kFunctionAt, {0x03, 0x06, 0xc3});  // add eax, [rsi]; ret
    EXPECT_EQ(run_loop(g, g.long_mode(), kTimes,
                       [](Assembler& a) {
                         const auto again = a.newLabel();
                         a.mov(esi, kFunctionAt + 0x800);
                         a.mov(dword_ptr(rsi), 0);
                         a.mov(edx, 100);
                         a.bind(again);
                         a.inc(dword_ptr(rsi));
                         a.dec(edx);
                         a.jnz(again);
                         a.xor_(eax, eax);
                         call(a, kFunctionAt);
                       }),
              kTimes * 100);
    EXPECT_EQ(counter(g, "parked_pages") != 0, park);
    EXPECT_EQ(counter(g, "unparked") != 0, park);
    EXPECT_LT(counter(g, "translations"), 100u);
  }
}

// While the page is out of service nothing watches it: what changed is seen when it comes back.
TEST(SelfModifying, CodeThatChangedWhileItWasParkedRunsAnew) {
  for (const bool through_alias : {false, true}) {
    SmallGuest g;
    g.load(kFunctionAt, {0xb8, 0, 0, 0, 0, 0xc3});
    const u64 base = through_alias ? kAlias : 0;
    EXPECT_EQ(run_loop(g, aliased(g), kTimes,
                       [&](Assembler& a) {
                         const auto again = a.newLabel();
                         a.mov(rsi, base + kFunctionAt);
                         a.mov(edx, 40);
                         a.bind(again);
                         a.inc(dword_ptr(rsi, 0x800));
                         a.dec(edx);
                         a.jnz(again);
                         a.mov(byte_ptr(rsi, 1), cl);
                         a.mov(byte_ptr(rsi, 2), ch);
                         call(a, kFunctionAt);
                         call(a, kFunctionAt);
                       }),
              kSum);
    EXPECT_NE(counter(g, "parked_pages"), 0u);
  }
}

// The loop's own page is parked by the loop: it goes on with the next instruction.
TEST(SelfModifying, ALoopMayParkItsOwnPage) {
  SmallGuest g;
  EXPECT_EQ(run_loop(g, g.long_mode(), kTimes,
                     [](Assembler& a) {
                       a.mov(dword_ptr(SmallGuest::kCodeAt + 0x800), ecx);
                       a.mov(eax, dword_ptr(SmallGuest::kCodeAt + 0x800));
                     }),
            kSum);
  EXPECT_NE(counter(g, "parked_pages"), 0u);
  EXPECT_LT(counter(g, "translations"), 100u);
}

}  // namespace
}  // namespace emu
