// SPDX-License-Identifier: Apache-2.0
// One program page mapped at several addresses, as libraries are in one process after the other:
// its translation is copied, and everything in it that depends on the address moves along.
#include "tcg/small_guest.h"

namespace emu {
namespace {

using namespace asmjit::x86;

constexpr u64 kFunctionAt = 0x300000, kDataOffset = 0x800;
constexpr u64 kDatum = 0x1111;
// Every 512 GiB from the second on shows the first again.
constexpr u64 kViews[] = {u64{1} << 39, u64{5} << 39, u64{3} << 39};
constexpr u64 kRounds = 7, kCallsEach = 3;

u64 counter(SmallGuest& g, std::string_view name) {
  const std::string text = "\n" + g.cpu().counters();
  const auto at = text.find("\n" + std::string(name) + " ");
  return at == std::string::npos ? ~u64{0} : std::stoull(text.substr(at + name.size() + 2));
}

// User mode with all privileges that I/O needs.
CpuState user_mode(SmallGuest& g) {
  CpuState s = g.long_mode();
  for (unsigned i = 1; i < 8; ++i) {
    store_le(g.ram() + SmallGuest::kPageTablesAt + 8 * i, (SmallGuest::kPageTablesAt + 0x1000) | 7);
  }
  s.segments[kCs] = {0, 0xffffffff, 0x1b, 0xa0fb};
  for (unsigned i : {kDs, kEs, kSs, kFs, kGs}) s.segments[i] = {0, 0xffffffff, 0x23, 0xc0f3};
  s.rflags |= kFlagIopl;
  return s;
}

// A loop around a call that adds its return address and a RIP-relative datum to R8, an instruction
// that C++ executes, and a jump through a register.
void assemble_function(SmallGuest& g) {
  g.assemble(kFunctionAt, [](Assembler& a) {
    const auto loop = a.newLabel(), callee = a.newLabel(), on = a.newLabel();
    a.mov(ecx, kRounds);
    a.bind(loop);
    a.call(callee);
    a.dec(ecx);
    a.jnz(loop);
    a.xor_(eax, eax);
    a.cpuid();
    a.lea(rax, ptr(on));
    a.jmp(rax);
    a.bind(callee);
    a.add(r8, qword_ptr(rsp));
    a.add(r8, qword_ptr(rip, static_cast<i32>(0)));  // set below
    a.ret();
    a.bind(on);
    a.add(r8, rax);
    a.ret();
  });
  // The RIP-relative operand: 4c 03 05 disp32.
  u8* code = g.ram() + kFunctionAt;
  for (u64 i = 0; i < 64; ++i) {
    if (code[i] == 0x4c && code[i + 1] == 0x03 && code[i + 2] == 0x05) {
      store_le(code + i + 3, static_cast<u32>(kDataOffset - (i + 7)));
    }
  }
  store_le(code + kDataOffset, kDatum);
}

u64 run_everywhere(SmallGuest& g) {
  assemble_function(g);
  const CpuState s = user_mode(g);
  g.assemble(SmallGuest::kCodeAt, [](Assembler& a) {
    a.xor_(r8d, r8d);
    a.mov(ebp, kCallsEach);
    const auto loop = a.newLabel();
    a.bind(loop);
    for (const u64 view : kViews) {
      a.mov(rdi, view + kFunctionAt);
      a.call(rdi);
    }
    a.dec(ebp);
    a.jnz(loop);
    a.mov(eax, 1);
    a.out(0xf4, eax);
    a.hlt();
  });
  g.run(s);
  EXPECT_EQ(g.exit_value, 1u);
  return g.state().gpr[8];
}

u64 expected() {
  constexpr u64 kReturnsTo = 10;  // mov ecx, imm32 and call rel32 before it
  // The target of LEA: after mov, call, dec, jnz, xor, cpuid, lea, jmp, two additions and a ret.
  constexpr u64 kOn = 10 + 2 + 2 + 2 + 2 + 7 + 2 + 4 + 7 + 1;
  u64 sum = 0;
  for (const u64 view : kViews) {
    sum += kRounds * (view + kFunctionAt + kReturnsTo + kDatum) + view + kFunctionAt + kOn;
  }
  return kCallsEach * sum;
}

TEST(MovedCode, DependsOnItsNewAddress) {
  SmallGuest g;
  EXPECT_EQ(run_everywhere(g), expected());
  EXPECT_GE(counter(g, "moves"), 8u);
}

TEST(MovedCode, IsTranslatedAnewWithoutTheOption) {
  TcgOptions options;
  options.move_code = false;
  SmallGuest g(options);
  EXPECT_EQ(run_everywhere(g), expected());
  EXPECT_EQ(counter(g, "moves"), 0u);
}

// All copies go when the bytes change.
TEST(MovedCode, ChangesWithItsBytes) {
  SmallGuest g;
  const CpuState s = user_mode(g);
  g.load(kFunctionAt, {0xb8, 5, 0, 0, 0, 0x90, 0xc3});  // mov eax, 5; nop; ret
  g.assemble(SmallGuest::kCodeAt, [](Assembler& a) {
    a.xor_(ebx, ebx);
    for (int round = 0; round < 2; ++round) {
      for (const u64 view : kViews) {
        a.mov(rdi, view + kFunctionAt);
        a.call(rdi);
        a.add(ebx, eax);
      }
      a.mov(byte_ptr(kFunctionAt + 1), 70);
    }
    a.mov(eax, ebx);
    a.out(0xf4, eax);
    a.hlt();
  });
  g.run(s);
  EXPECT_EQ(g.exit_value, 3u * 5 + 3 * 70);
}

}  // namespace
}  // namespace emu
