// SPDX-License-Identifier: Apache-2.0
// Small guests with an expected end state, under the translator.
#include "tcg/small_guest.h"

namespace emu {
namespace {

using namespace asmjit::x86;

void exit_with(Assembler& a, u32 value) {
  a.mov(eax, value);
  a.out(0xf4, eax);
  const asmjit::Label here = a.newLabel();
  a.bind(here);
  a.jmp(here);
}

TEST(SmallGuest, WritesAStringThroughAPort) {
  SmallGuest g;
  const CpuState s = g.long_mode();
  g.load(0x20000, {'h', 'e', 'l', 'l', 'o', 0});
  g.assemble(SmallGuest::kCodeAt, [](Assembler& a) {
    const auto loop = a.newLabel(), end = a.newLabel();
    a.mov(esi, 0x20000);
    a.bind(loop);
    a.lodsb();
    a.test(al, al);
    a.jz(end);
    a.out(0xe9, al);
    a.jmp(loop);
    a.bind(end);
    exit_with(a, 7);
  });
  g.run(s);
  EXPECT_EQ(g.output, "hello");
  EXPECT_EQ(g.exit_value, 7u);
}

TEST(SmallGuest, CallsReturnsAndRecursionAgreeWithTheHost) {
  SmallGuest g;
  const CpuState s = g.long_mode();
  g.assemble(SmallGuest::kCodeAt, [](Assembler& a) {
    const auto fib = a.newLabel(), leaf = a.newLabel(), start = a.newLabel();
    a.jmp(start);
    a.bind(fib);
    a.cmp(edi, 2);
    a.jl(leaf);
    a.push(rdi);
    a.sub(edi, 1);
    a.call(fib);
    a.pop(rdi);
    a.push(rax);
    a.sub(edi, 2);
    a.call(fib);
    a.pop(rcx);
    a.add(eax, ecx);
    a.ret();
    a.bind(leaf);
    a.mov(eax, edi);
    a.ret();
    a.bind(start);
    a.mov(edi, 20);
    a.call(fib);
    a.out(0xf4, eax);
    a.hlt();
  });
  g.run(s);
  EXPECT_EQ(g.exit_value, 6765u);
}

TEST(SmallGuest, MmioOfEveryWidthReachesTheDevice) {
  SmallGuest g;
  const CpuState s = g.long_mode();
  g.registers[2] = 0x1122334455667788;
  g.assemble(SmallGuest::kCodeAt, [](Assembler& a) {
    a.mov(edi, SmallGuest::kMmioBase);
    a.mov(rax, 0xa1a2a3a4a5a6a7a8);
    a.mov(qword_ptr(rdi), rax);
    a.mov(byte_ptr(rdi, 8), al);
    a.mov(word_ptr(rdi, 10), ax);
    a.mov(dword_ptr(rdi, 12), eax);
    a.mov(rbx, qword_ptr(rdi, 16));
    a.add(qword_ptr(rdi, 24), rbx);
    a.inc(dword_ptr(rdi, 32));
    exit_with(a, 1);
  });
  g.run(s);
  EXPECT_EQ(g.registers[0], 0xa1a2a3a4a5a6a7a8);
  EXPECT_EQ(g.registers[1], 0xa5a6a7a8'a7a8'00'a8);
  EXPECT_EQ(g.registers[3], 0x1122334455667788u);
  EXPECT_EQ(g.registers[4], 1u);
  EXPECT_EQ(g.state().gpr[kRbx], 0x1122334455667788u);
}

TEST(SmallGuest, PageFaultReportsAddressErrorCodeAndRip) {
  SmallGuest g;
  CpuState s = g.long_mode();
  g.set_gate(14, 0x30000);
  u64 fault_rip = 0;
  g.assemble(SmallGuest::kCodeAt, [&](Assembler& a) {
    a.mov(rbx, 0x8000000010);
    a.mov(ecx, 5);
    fault_rip = SmallGuest::kCodeAt + a.offset();
    a.mov(qword_ptr(rbx), rcx);
    exit_with(a, 1);
  });
  g.assemble(0x30000, [](Assembler& a) {
    a.pop(rsi);  // error code
    a.pop(rdi);  // rip
    a.mov(rdx, cr2);
    exit_with(a, 2);
  });
  g.run(s);
  s = g.state();
  EXPECT_EQ(g.exit_value, 2u);
  EXPECT_EQ(s.gpr[kRsi], 2u);
  EXPECT_EQ(s.gpr[kRdi], fault_rip);
  EXPECT_EQ(s.gpr[kRdx], 0x8000000010u);
}

TEST(SmallGuest, DivisionByZeroAndUndefinedOpcodesAreGuestExceptions) {
  SmallGuest g;
  const CpuState s = g.long_mode();
  g.set_gate(0, 0x30000);
  g.set_gate(6, 0x31000);
  g.assemble(SmallGuest::kCodeAt, [](Assembler& a) {
    a.xor_(ecx, ecx);
    a.mov(eax, 1);
    a.cdq();
    a.div(ecx);
    a.hlt();
  });
  g.assemble(0x30000, [](Assembler& a) { a.ud2(); });
  g.assemble(0x31000, [](Assembler& a) { exit_with(a, 3); });
  g.run(s);
  EXPECT_EQ(g.exit_value, 3u);
}

TEST(SmallGuest, CodeThatOverwritesItselfRunsTheNewBytes) {
  SmallGuest g;
  const CpuState s = g.long_mode();
  g.assemble(SmallGuest::kCodeAt, [](Assembler& a) {
    const auto patched = a.newLabel(), loop = a.newLabel();
    a.xor_(ebx, ebx);
    a.mov(ecx, 5);
    a.bind(loop);
    a.lea(rdi, ptr(patched, 1));
    a.mov(dword_ptr(rdi), ecx);  // in the same block as the instruction it changes
    a.bind(patched);
    a.mov(eax, 0x1000);
    a.add(ebx, eax);
    a.dec(ecx);
    a.jnz(loop);
    a.mov(eax, ebx);
    a.out(0xf4, eax);
    a.hlt();
  });
  g.run(s);
  EXPECT_EQ(g.exit_value, 15u);
}

TEST(SmallGuest, InterruptsArriveInALoopAndAfterHalt) {
  SmallGuest g;
  const CpuState s = g.long_mode();
  g.set_gate(0x40, 0x30000);
  g.assemble(SmallGuest::kCodeAt, [](Assembler& a) {
    const auto wait = a.newLabel();
    a.xor_(ebx, ebx);
    a.sti();
    a.mov(eax, 0x40);
    a.out(0xf5, eax);
    a.bind(wait);
    a.test(ebx, ebx);
    a.jz(wait);
    a.cli();
    a.mov(eax, 0x40);
    a.out(0xf5, eax);
    a.sti();
    a.hlt();
    a.mov(eax, ebx);
    a.out(0xf4, eax);
    a.hlt();
  });
  g.assemble(0x30000, [](Assembler& a) {
    a.inc(ebx);
    a.iretq();
  });
  g.run(s);
  EXPECT_EQ(g.exit_value, 2u);
}

TEST(SmallGuest, AccessesThatCrossPagesAreWhole) {
  SmallGuest g;
  const CpuState s = g.long_mode();
  // Two linear pages with 4 KiB entries, physically apart and in the other order.
  u8* t = g.ram() + SmallGuest::kPageTablesAt;
  store_le(t + 0x2000 + 8 * 3, u64{SmallGuest::kPageTablesAt + 0x5000} | 7);
  store_le(t + 0x5000, u64{0x51000} | 7);
  store_le(t + 0x5008, u64{0x50000} | 7);
  g.assemble(SmallGuest::kCodeAt, [](Assembler& a) {
    a.mov(edi, 0x600ffd);
    a.mov(rax, 0x1122334455667788);
    a.mov(qword_ptr(rdi), rax);
    a.add(qword_ptr(rdi), 1);
    a.movups(xmm0, ptr(rdi, -8));
    a.movups(ptr(rdi, -4), xmm0);
    a.mov(rbx, qword_ptr(rdi, 4));
    exit_with(a, 1);
  });
  g.run(s);
  EXPECT_EQ(g.state().gpr[kRbx], 0x1122334455667789u);
}

TEST(SmallGuest, VectorRegistersSurviveDeviceAccesses) {
  SmallGuest g;
  CpuState s = g.long_mode();
  s.cr4 |= kCr4Osxsave;
  s.xcr0 = 7;
  g.assemble(SmallGuest::kCodeAt, [](Assembler& a) {
    a.mov(eax, 0x01020304);
    a.movd(xmm3, eax);
    a.vpbroadcastd(ymm3, xmm3);
    a.fld1();
    a.mov(edi, SmallGuest::kMmioBase);
    a.mov(ebx, dword_ptr(rdi));
    a.out(0xe9, al);
    a.vextracti128(xmm4, ymm3, 1);
    a.movd(ecx, xmm4);
    a.sub(rsp, 8);
    a.fistp(dword_ptr(rsp));
    a.mov(edx, dword_ptr(rsp));
    exit_with(a, 1);
  });
  g.run(s);
  EXPECT_EQ(g.state().gpr[kRcx], 0x01020304u);
  EXPECT_EQ(g.state().gpr[kRdx], 1u);
}

TEST(SmallGuest, RealModeRunsFromTheResetState) {
  SmallGuest g;
  CpuState s;
  reset_cpu(s, false);
  s.segments[kCs] = {0x10000, 0xffff, 0x1000, 0x93};
  s.segments[kDs] = {0x20000, 0xffff, 0x2000, 0x93};
  s.segments[kSs] = {0x30000, 0xffff, 0x3000, 0x93};
  s.gpr[kRsp] = 0x1000;
  s.rip = 0;
  g.load(0x10000, {0xb8, 0x34, 0x12,        // mov ax, 1234h
                   0xa3, 0x10, 0x00,        // mov [10h], ax
                   0x50,                    // push ax
                   0x5b,                    // pop bx
                   0xe8, 0x04, 0x00,        // call +4
                   0xe6, 0xf4, 0xeb, 0xfe,  // out f4h, al; jmp $
                   0x43,                    // inc bx
                   0x88, 0xd8,              // mov al, bl
                   0xc3});                  // ret
  g.run(s);
  EXPECT_EQ(g.exit_value & 0xff, 0x35u);
  EXPECT_EQ(load_le<u16>(g.ram() + 0x20010), 0x1234);
}

TEST(SmallGuest, TripleFaultStops) {
  SmallGuest g;
  CpuState s = g.long_mode();
  s.idtr.limit = 0;
  g.assemble(SmallGuest::kCodeAt, [](Assembler& a) { a.ud2(); });
  EXPECT_EQ(g.run(s).kind, StopReason::Kind::kTripleFault);
}

TEST(SmallGuest, SingleStepTrapsAfterEachInstruction) {
  SmallGuest g;
  CpuState s = g.long_mode();
  s.rflags |= kFlagTf;
  g.set_gate(1, 0x30000);
  g.assemble(SmallGuest::kCodeAt, [](Assembler& a) {
    a.nop();
    a.nop();
    a.nop();
    exit_with(a, 9);
  });
  g.assemble(0x30000, [](Assembler& a) {
    a.inc(ebx);
    a.iretq();
  });
  g.run(s);
  EXPECT_EQ(g.exit_value, 9u);
  EXPECT_GE(g.state().gpr[kRbx], 4u);
}

TEST(SmallGuest, HighBytesGoIntoRegistersWhoseLowByteWantsRex) {
  SmallGuest g;
  CpuState s = g.long_mode();
  s.gpr[kRax] = 0x1234;
  s.gpr[kRbx] = 0x5678;
  g.assemble(SmallGuest::kCodeAt, [](Assembler& a) {
    a.movzx(esi, ah);
    a.movzx(edi, bh);
    a.movzx(r9d, dil);
    exit_with(a, 1);
  });
  g.run(s);
  EXPECT_EQ(g.state().gpr[kRsi], 0x12u);
  EXPECT_EQ(g.state().gpr[kRdi], 0x56u);
  EXPECT_EQ(g.state().gpr[kR9], 0x56u);
}

TEST(SmallGuest, MisalignedUserStoresAreFineWithoutAlignmentChecking) {
  SmallGuest g;
  CpuState s = g.long_mode();
  s.segments[kCs] = {0, 0xffffffff, 0x1b, 0xa0fb};
  s.segments[kSs] = {0, 0xffffffff, 0x23, 0xc0f3};
  s.cr0 |= kCr0Am;
  s.rflags |= kFlagIopl;
  g.set_gate(17, 0x30000);
  g.assemble(SmallGuest::kCodeAt, [](Assembler& a) {
    a.mov(edi, 0x50003);
    a.mov(dword_ptr(rdi), edi);
    exit_with(a, 1);
  });
  g.assemble(0x30000, [](Assembler& a) { exit_with(a, 2); });
  g.run(s);
  EXPECT_EQ(g.exit_value, 1u);
}

}  // namespace
}  // namespace emu
