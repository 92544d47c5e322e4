// SPDX-License-Identifier: Apache-2.0
// Debug traps around SS loads, and system instructions whose operand is at no canonical address.
// Source: Intel SDM vol. 3 6.8.3 (masking exceptions when switching stacks), 17.3.1.4.
#include "tcg/small_guest.h"

namespace emu {
namespace {

using namespace asmjit::x86;

// #DB writes the low byte of the address it returns to and clears TF when that is `last`.
struct TrapGuest {
  TrapGuest() : state(g.long_mode()) {
    g.set_gate(kVectorDb, 0x50000);
    g.assemble(0x50000, [](Assembler& a) {
      a.push(rax);
      a.mov(rax, qword_ptr(rsp, 8));
      a.out(0xe9, al);
      a.pop(rax);
      a.iretq();
    });
  }
  SmallGuest g;
  CpuState state;
};

TEST(DebugTraps, WaitForTheInstructionAfterAnSsLoad) {
  TrapGuest t;
  std::string expected;
  t.g.assemble(SmallGuest::kCodeAt, [&](Assembler& a) {
    a.mov(ecx, ss);
    a.pushfq();
    a.or_(dword_ptr(rsp), 0x100);
    a.popfq();
    a.mov(ss, ecx);  // no trap here
    a.nop();
    expected.push_back(static_cast<char>(a.offset()));
    a.pushfq();
    expected.push_back(static_cast<char>(a.offset()));
    a.and_(dword_ptr(rsp), ~0x100);
    expected.push_back(static_cast<char>(a.offset()));
    a.popfq();
    expected.push_back(static_cast<char>(a.offset()));
    a.mov(eax, 1);
    a.out(0xf4, eax);
    a.hlt();
  });
  t.g.run(t.state);
  EXPECT_EQ(t.g.exit_value, 1u);
  EXPECT_EQ(t.g.output, expected);
}

// A watchpoint on the SS load's operand and INT n after it: first the INT, then, before the
// handler's first instruction, the watchpoint's #DB.
TEST(DebugTraps, AWatchpointBeforeIntIsReportedInItsHandler) {
  TrapGuest t;
  t.state.dr[0] = 0x30000;
  t.state.dr7 = 0x000f0402;  // DR0: 4 bytes, read or write
  store_le(t.g.ram() + 0x30000, u32{0x10});
  t.g.set_gate(0x42, 0x51000);
  t.g.assemble(0x51000, [](Assembler& a) {
    a.mov(eax, 'h');
    a.out(0xe9, al);
    a.iretq();
  });
  t.g.assemble(SmallGuest::kCodeAt, [](Assembler& a) {
    a.mov(ss, word_ptr(u64{0x30000}));
    a.int_(0x42);
    a.mov(eax, 1);
    a.out(0xf4, eax);
    a.hlt();
  });
  t.g.run(t.state);
  EXPECT_EQ(t.g.exit_value, 1u);
  EXPECT_EQ(t.g.output, std::string("\0h", 2)) << "the address 51000h, then the handler";
}

TEST(SystemOperands, AreCanonicalOrFault) {
  SmallGuest g;
  const CpuState s = g.long_mode();
  g.set_gate(kVectorGp, 0x50000);
  g.assemble(0x50000, [](Assembler& a) {
    a.inc(ebx);
    a.mov(qword_ptr(rsp, 8), rcx);  // where to go on
    a.add(rsp, 8);
    a.iretq();
  });
  g.assemble(SmallGuest::kCodeAt, [](Assembler& a) {
    const auto one = a.newLabel(), two = a.newLabel(), three = a.newLabel();
    a.xor_(ebx, ebx);
    a.mov(rdi, u64{0x1234'0000'0002'0000});
    a.lea(rcx, ptr(one));
    a.sgdt(ptr(rdi));
    a.bind(one);
    a.lea(rcx, ptr(two));
    a.fxsave(ptr(rdi));
    a.bind(two);
    a.lea(rcx, ptr(three));
    a.lidt(ptr(rdi));
    a.bind(three);
    a.mov(eax, ebx);
    a.out(0xf4, eax);
    a.hlt();
  });
  g.run(s);
  EXPECT_EQ(g.exit_value, 3u);
}

// Linux and others leave a kernel selector in GS and go to user mode: its base must survive.
TEST(OuterReturn, NullsGsButKeepsItsBase) {
  SmallGuest g;
  CpuState s = g.long_mode();
  s.segments[kGs].base = 0x30000;
  store_le(g.ram() + 0x30008, u64{0x55});
  g.assemble(SmallGuest::kCodeAt, [](Assembler& a) {
    const auto user = a.newLabel();
    a.push(0x23);
    a.push(static_cast<i32>(SmallGuest::kStackTop) - 0x100);
    a.push(0x3002);  // IOPL 3
    a.push(0x1b);
    a.lea(rax, ptr(user));
    a.push(rax);
    a.iretq();
    a.bind(user);
    a.mov(ecx, gs);
    Mem at = qword_ptr(u64{8});
    at.setSegment(gs);
    a.mov(rax, at);
    a.lea(eax, ptr(rax, rcx));
    a.out(0xf4, eax);
    const auto here = a.newLabel();
    a.bind(here);
    a.jmp(here);
  });
  g.run(s);
  EXPECT_EQ(g.exit_value, 0x55u);
}

}  // namespace
}  // namespace emu
