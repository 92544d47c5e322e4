// SPDX-License-Identifier: Apache-2.0
// Lock-step: it compares what runs, finds nothing where nothing is wrong, and stops at a block that
// was made to differ. Whole boots are compared with `emu --translator lock-step=N`.
#include "tcg/small_guest.h"

namespace emu {
namespace {

using namespace asmjit::x86;

constexpr u64 kDataAt = 0x30000, kLoopAt = SmallGuest::kCodeAt + 0x100;

u64 lock_steps(SmallGuest& g) {
  const std::string text = g.cpu().counters();
  return std::stoull(text.substr(text.find("lock_steps ") + 11));
}

// Loads and stores, a device, an exception in the middle of a block, vectors, strings, flags that
// are read late, calls, and code that changes itself.
void assemble(SmallGuest& g) {
  g.set_gate(kVectorDe, 0x50000);
  g.assemble(0x50000, [](Assembler& a) {
    a.add(qword_ptr(rsp), 3);  // past the division
    a.iretq();
  });
  g.assemble(SmallGuest::kCodeAt, [](Assembler& a) {
    a.mov(edi, static_cast<u32>(kDataAt));
    a.mov(ebp, static_cast<u32>(SmallGuest::kMmioBase));
    a.mov(r12d, 20);
    a.xor_(ebx, ebx);
    a.mov(rax, kLoopAt);
    a.jmp(rax);
  });
  g.assemble(kLoopAt, [](Assembler& a) {
    const auto loop = a.newLabel(), skip = a.newLabel(), callee = a.newLabel(), end = a.newLabel();
    a.bind(loop);
    a.inc(qword_ptr(rdi));
    a.mov(rax, qword_ptr(rdi, 8));
    a.mov(qword_ptr(rdi, 16), r12);
    a.add(rax, r12);
    a.adc(qword_ptr(rdi, 8), rax);
    a.lock().xadd(qword_ptr(rdi, 0xffc), rax);  // crosses a page
    a.inc(dword_ptr(rbp, 8));                   // of a device
    a.movd(xmm0, r12d);
    a.paddd(xmm1, xmm0);
    a.movdqu(xmmword_ptr(rdi, 64), xmm1);
    a.cmp(r12, 7);
    a.jb(skip);
    a.xor_(edx, edx);
    a.xor_(ecx, ecx);
    a.mov(qword_ptr(rdi, 32), rdx);
    a.div(rcx);  // faults
    a.bind(skip);
    a.call(callee);
    a.mov(eax, 24);  // flags made from the stack pointer, which the call then moves
    a.sub(rsp, rax);
    a.mov(qword_ptr(rsp, 8), rax);
    a.call(callee);
    a.mov(eax, 24);
    a.add(rsp, rax);
    a.call(callee);
    a.mov(rbx, rsp);
    a.and_(rsp, -64);
    a.mov(rax, qword_ptr(rdi));
    a.call(callee);
    a.cmp(rsp, rbx);
    a.mov(rax, qword_ptr(rdi));
    a.call(callee);
    a.mov(rsp, rbx);
    a.mov(byte_ptr(kLoopAt + 0x800), 0x90);  // beside the code
    a.dec(r12);
    a.jnz(loop);
    a.jmp(end);
    a.bind(callee);
    a.push(rdi);
    a.mov(esi, static_cast<u32>(SmallGuest::kCodeAt));
    a.add(edi, 0x200);
    a.mov(ecx, 40);
    a.rep().movsb();
    a.pop(rdi);
    a.ret();
    a.bind(end);
    a.mov(eax, 1);
    a.out(0xf4, eax);
    a.hlt();
  });
}

TEST(LockStep, ComparesAndFindsNothing) {
  SmallGuest plain;
  assemble(plain);
  plain.run(plain.long_mode());
  ASSERT_EQ(plain.exit_value, 1u);
  TcgOptions options;
  options.lock_step_runs = 1000;
  SmallGuest g(options);
  assemble(g);
  EXPECT_EQ(g.run(g.long_mode()).kind, StopReason::Kind::kKicked);
  EXPECT_EQ(g.exit_value, 1u);
  EXPECT_GE(lock_steps(g), 60u);
  EXPECT_EQ(g.mmio_writes, plain.mmio_writes) << "a device is asked once";
  EXPECT_EQ(g.registers[1], plain.registers[1]);
  EXPECT_TRUE(std::equal(g.ram() + kDataAt, g.ram() + kDataAt + 0x2000, plain.ram() + kDataAt));
}

TEST(LockStep, StopsAtTheFirstDifference) {
  TcgOptions options;
  options.lock_step_runs = 2;
  options.lock_step_spoils = kLoopAt;
  SmallGuest g(options);
  assemble(g);
  testing::internal::CaptureStderr();
  const StopReason reason = g.run(g.long_mode());
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_EQ(reason.kind, StopReason::Kind::kError);
  EXPECT_NE(said.find("rax      optimised"), std::string::npos) << said;
  EXPECT_NE(said.find("inc [rdi]"), std::string::npos) << "the guest's code is shown: " << said;
  EXPECT_EQ(g.exit_value, ~0u);
}

}  // namespace
}  // namespace emu
