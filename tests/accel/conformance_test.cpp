// SPDX-License-Identifier: Apache-2.0
// What every engine must do alike: accesses, interrupts, exceptions, memory that changes, state.
#include <atomic>
#include <chrono>

#include "engine_guest.h"

namespace emu {
namespace {

using namespace asmjit::x86;

INSTANTIATE_TEST_SUITE_P(Accel, Engines, ::testing::Values(Engine::kTranslator, Engine::kKvm),
                         [](const auto& each) { return engine_name(each.param); });

TEST_P(Engines, PortsOfEveryWidth) {
  EngineGuest g(GetParam());
  g.program([](Assembler& a) {
    a.mov(eax, 0x11223344);
    a.out(0xfa, al);
    a.out(0xfa, ax);
    a.out(0xfa, eax);
    a.mov(edx, 0xfa);
    a.mov(eax, 0);
    a.in(al, dx);
    a.mov(ebx, eax);
    a.mov(eax, 0);
    a.in(ax, dx);
    a.mov(ecx, eax);
    a.in(eax, 0xfa);
    a.mov(esi, eax);
    exit_with(a, 1);
  });
  g.run(g.long_mode());
  SKIP_IF_BACKEND_CANNOT(g);
  const std::vector<std::pair<unsigned, u32>> expected{{1, 0x44}, {2, 0x3344}, {4, 0x11223344}};
  EXPECT_EQ(g.outs, expected);
  const CpuState s = g.state();
  EXPECT_EQ(s.gpr[kRbx], 0x81u);
  EXPECT_EQ(s.gpr[kRcx], 0x8182u);
  EXPECT_EQ(s.gpr[kRsi], 0x81828384u);
}

TEST_P(Engines, StringPortAccesses) {
  EngineGuest g(GetParam());
  std::memcpy(g.ram() + 0x20000, "hello, engines", 14);
  g.program([](Assembler& a) {
    a.cld();
    a.mov(edx, 0xe9);
    a.mov(esi, 0x20000);
    a.mov(ecx, 14);
    a.db(0xf3);
    a.db(0x6e);  // rep outsb
    a.mov(edx, 0xfa);
    a.mov(edi, 0x21000);
    a.mov(ecx, 3);
    a.db(0x66);
    a.db(0xf3);
    a.db(0x6d);  // rep insw
    exit_with(a, 1);
  });
  g.run(g.long_mode());
  SKIP_IF_BACKEND_CANNOT(g);
  EXPECT_EQ(g.output, "hello, engines");
  EXPECT_EQ(g.at(0x21000), 0x0000818281828182u);
  EXPECT_EQ(g.state().gpr[kRcx], 0u);
}

TEST_P(Engines, MmioOfEveryWidthReachesTheDevice) {
  EngineGuest g(GetParam());
  g.registers[2] = 0x1122334455667788;
  g.program([](Assembler& a) {
    a.mov(edi, EngineGuest::kMmioBase);
    a.mov(rax, 0xa1a2a3a4a5a6a7a8);
    a.mov(qword_ptr(rdi), rax);
    a.mov(byte_ptr(rdi, 8), al);
    a.mov(word_ptr(rdi, 10), ax);
    a.mov(dword_ptr(rdi, 12), eax);
    a.mov(rbx, qword_ptr(rdi, 16));
    a.movzx(ecx, byte_ptr(rdi, 17));
    a.add(qword_ptr(rdi, 24), rbx);
    a.inc(dword_ptr(rdi, 32));
    exit_with(a, 1);
  });
  g.run(g.long_mode());
  SKIP_IF_BACKEND_CANNOT(g);
  EXPECT_EQ(g.registers[0], 0xa1a2a3a4a5a6a7a8);
  EXPECT_EQ(g.registers[1], 0xa5a6a7a8'a7a8'00'a8);
  EXPECT_EQ(g.registers[3], 0x1122334455667788u);
  EXPECT_EQ(g.registers[4], 1u);
  EXPECT_EQ(g.state().gpr[kRbx], 0x1122334455667788u);
  EXPECT_EQ(g.state().gpr[kRcx], 0x77u);
}

TEST_P(Engines, StringMovesBetweenDeviceAndMemory) {
  EngineGuest g(GetParam());
  for (unsigned i = 0; i < 4; ++i) g.registers[i] = 0x0101010101010101 * (i + 1);
  g.program([](Assembler& a) {
    a.cld();
    a.mov(esi, EngineGuest::kMmioBase);
    a.mov(edi, 0x20000);
    a.mov(ecx, 4);
    a.rep().movsq();
    a.mov(edi, EngineGuest::kMmioBase + 64);
    a.mov(eax, 0x55);
    a.mov(ecx, 16);
    a.rep().stosb();
    exit_with(a, 1);
  });
  g.run(g.long_mode());
  SKIP_IF_BACKEND_CANNOT(g);
  EXPECT_EQ(g.at(0x20018), 0x0404040404040404u);
  EXPECT_EQ(g.registers[9], 0x5555555555555555u);
}

// Until `counter` is `value`, but not for ever. Engines see requests between instructions, but an
// emulating backend only every hundred or so.
void wait_for(Assembler& a, u64 counter, u32 value) {
  const auto loop = a.newLabel(), done = a.newLabel();
  a.mov(r15d, 20000);
  a.bind(loop);
  a.cmp(dword_ptr(counter), value);
  a.je(done);
  a.dec(r15d);
  a.jnz(loop);
  a.bind(done);
}

// mov [counter], +1; iretq
void counting_handler(EngineGuest& g, unsigned vector, u64 counter) {
  g.handler(vector, [=](Assembler& a) {
    a.inc(dword_ptr(counter));
    a.iretq();
  });
}

TEST_P(Engines, AnInterruptIsTakenWhenTheGuestAllowsIt) {
  EngineGuest g(GetParam());
  counting_handler(g, 0x40, 0x20000);
  g.program([](Assembler& a) {
    a.mov(eax, 0x40);
    a.out(0xf5, al);  // requested with IF clear
    for (int i = 0; i < 8; ++i) a.nop();
    a.mov(ebx, dword_ptr(0x20000));
    a.sti();
    wait_for(a, 0x20000, 1);
    a.cli();
    a.mov(ecx, dword_ptr(0x20000));
    exit_with(a, 1);
  });
  g.run(g.long_mode());
  SKIP_IF_BACKEND_CANNOT(g);
  EXPECT_EQ(g.state().gpr[kRbx], 0u);
  EXPECT_EQ(g.state().gpr[kRcx], 1u);
}

TEST_P(Engines, StiHoldsInterruptsForOneInstruction) {
  EngineGuest g(GetParam());
  g.handler(0x40, [](Assembler& a) {
    a.mov(edx, ebx);  // how far the program got
    a.inc(dword_ptr(0x20000));
    a.iretq();
  });
  g.program([](Assembler& a) {
    a.xor_(ebx, ebx);
    a.mov(edx, 99);
    a.mov(eax, 0x40);
    a.out(0xf5, al);
    a.sti();
    a.inc(ebx);  // in the shadow
    a.inc(ebx);
    wait_for(a, 0x20000, 1);
    a.cli();
    exit_with(a, 1);
  });
  g.run(g.long_mode());
  SKIP_IF_BACKEND_CANNOT(g);
  EXPECT_GE(g.state().gpr[kRdx], 1u);
  EXPECT_LE(g.state().gpr[kRdx], 2u);
}

TEST_P(Engines, InterruptsComeInOrderAndOneAtATime) {
  EngineGuest g(GetParam());
  for (unsigned v = 0x40; v < 0x44; ++v) {
    g.handler(v, [=](Assembler& a) {
      a.mov(eax, 'a' + (v - 0x40));
      a.out(0xe9, al);
      a.inc(dword_ptr(0x20000));
      a.iretq();
    });
  }
  g.interrupts = {0x40, 0x43, 0x41, 0x42};
  g.cpu().set_interrupt_line(true);
  g.program([](Assembler& a) {
    a.sti();
    wait_for(a, 0x20000, 4);
    a.cli();
    exit_with(a, 1);
  });
  g.run(g.long_mode());
  SKIP_IF_BACKEND_CANNOT(g);
  EXPECT_EQ(g.output, "adbc");
}

TEST_P(Engines, AnNmiIsTakenWithInterruptsOffAndNotInsideItself) {
  EngineGuest g(GetParam());
  g.handler(2, [](Assembler& a) {
    a.inc(dword_ptr(0x20000));
    a.mov(eax, dword_ptr(0x20000));
    a.cmp(eax, 1);
    const auto done = a.newLabel();
    a.jne(done);
    a.out(0xf9, al);  // another one, which waits for the IRET
    a.mov(ecx, 300);
    const auto wait = a.newLabel();
    a.bind(wait);
    a.dec(ecx);
    a.jnz(wait);
    a.mov(ebx, dword_ptr(0x20000));
    a.bind(done);
    a.iretq();
  });
  g.program([](Assembler& a) {
    a.cli();
    a.out(0xf9, al);
    wait_for(a, 0x20000, 2);
    a.mov(ecx, dword_ptr(0x20000));
    exit_with(a, 1);
  });
  g.run(g.long_mode());
  SKIP_IF_BACKEND_CANNOT(g);
  EXPECT_EQ(g.state().gpr[kRbx], 1u);
  EXPECT_EQ(g.state().gpr[kRcx], 2u);
}

TEST_P(Engines, HltWaitsForAnInterrupt) {
  EngineGuest g(GetParam());
  counting_handler(g, 0x40, 0x20000);
  g.program([](Assembler& a) {
    a.sti();
    a.hlt();
    a.cli();
    a.mov(ebx, dword_ptr(0x20000));
    exit_with(a, 5);
  });
  std::thread later([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    g.request(0x40);
  });
  g.run(g.long_mode());
  later.join();
  SKIP_IF_BACKEND_CANNOT(g);
  EXPECT_EQ(g.exit_value, 5u);
  EXPECT_EQ(g.state().gpr[kRbx], 1u);
}

TEST_P(Engines, AKickEndsAHaltAndTheHaltGoesOn) {
  EngineGuest g(GetParam());
  counting_handler(g, 0x40, 0x20000);
  g.program([](Assembler& a) {
    a.sti();
    a.hlt();
    exit_with(a, 6);
  });
  std::thread kicker([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    g.cpu().kick();
  });
  const StopReason reason = g.run(g.long_mode());
  kicker.join();
  SKIP_IF_BACKEND_CANNOT(g);
  EXPECT_EQ(reason.kind, StopReason::Kind::kKicked);
  EXPECT_EQ(g.state().activity, Activity::kHalted);
  g.request(0x40);
  g.go_on();
  EXPECT_EQ(g.exit_value, 6u);
}

TEST_P(Engines, AKickEndsAnEndlessLoop) {
  EngineGuest g(GetParam());
  g.program([](Assembler& a) {
    const auto loop = a.newLabel();
    a.bind(loop);
    a.inc(rbx);
    a.jmp(loop);
  });
  std::thread kicker([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    g.cpu().kick();
  });
  const StopReason reason = g.run(g.long_mode());
  kicker.join();
  EXPECT_EQ(reason.kind, StopReason::Kind::kKicked);
  EXPECT_GT(g.state().gpr[kRbx], 0u);
}

TEST_P(Engines, AKickBeforeTheRunIsNotLost) {
  EngineGuest g(GetParam());
  g.program([](Assembler& a) {
    const auto loop = a.newLabel();
    a.bind(loop);
    a.jmp(loop);
  });
  g.cpu().kick();
  EXPECT_EQ(g.run(g.long_mode()).kind, StopReason::Kind::kKicked);
}

TEST_P(Engines, ExceptionsArriveWithTheirAddressesAndCodes) {
  EngineGuest g(GetParam());
  u64 fault_rip = 0;
  g.handler(14, [](Assembler& a) {
    a.pop(rsi);  // error code
    a.pop(rdi);  // RIP
    a.mov(rdx, cr2);
    exit_with(a, 2);
  });
  g.program([&](Assembler& a) {
    a.mov(rbx, 0x8000000010);
    fault_rip = EngineGuest::kCodeAt + a.offset();
    a.mov(qword_ptr(rbx), rcx);
    exit_with(a, 1);
  });
  g.run(g.long_mode());
  SKIP_IF_BACKEND_CANNOT(g);
  const CpuState s = g.state();
  EXPECT_EQ(g.exit_value, 2u);
  EXPECT_EQ(s.gpr[kRsi], 2u);
  EXPECT_EQ(s.gpr[kRdi], fault_rip);
  EXPECT_EQ(s.gpr[kRdx], 0x8000000010u);
}

TEST_P(Engines, UndefinedOpcodesDivisionsAndProtectionFaults) {
  EngineGuest g(GetParam());
  const auto skipping = [&](unsigned vector, unsigned bytes, bool has_code) {
    g.handler(vector, [=](Assembler& a) {
      if (has_code) a.add(rsp, 8);
      a.push(rax);
      a.mov(eax, '0' + vector);
      a.out(0xe9, al);
      a.pop(rax);
      a.add(qword_ptr(rsp), bytes);
      a.iretq();
    });
  };
  skipping(6, 2, false);
  skipping(0, 2, false);
  skipping(13, 3, true);
  g.program([](Assembler& a) {
    a.ud2();
    a.xor_(ecx, ecx);
    a.xor_(edx, edx);
    a.div(ecx);  // f7 f1
    a.mov(rbx, 0x8000000000000000);
    a.mov(rax, qword_ptr(rbx));  // 48 8b 03: not canonical
    exit_with(a, 3);
  });
  g.run(g.long_mode());
  SKIP_IF_BACKEND_CANNOT(g);
  EXPECT_EQ(g.output, std::string("60") + static_cast<char>('0' + 13));
  EXPECT_EQ(g.exit_value, 3u);
}

TEST_P(Engines, UnknownRegistersAreProtectionFaults) {
  EngineGuest g(GetParam());
  g.handler(13, [](Assembler& a) {
    a.add(rsp, 8);
    a.add(qword_ptr(rsp), 2);
    a.inc(dword_ptr(0x20000));
    a.iretq();
  });
  g.program([](Assembler& a) {
    a.mov(ecx, 0x12345678);
    a.rdmsr();
    a.wrmsr();
    a.mov(ecx, 0x1b);  // the bus's: APIC base
    a.rdmsr();
    a.mov(ebx, eax);
    a.mov(ecx, 0x6e0);
    a.mov(eax, 0x1234);
    a.xor_(edx, edx);
    a.wrmsr();
    exit_with(a, 1);
  });
  g.run(g.long_mode());
  SKIP_IF_BACKEND_CANNOT(g);
  EXPECT_EQ(g.at(0x20000) & 0xffffffff, 2u);
  EXPECT_EQ(g.state().gpr[kRbx], 0xfee00900u);
  EXPECT_EQ(g.deadline, 0x1234u);
}

TEST_P(Engines, ATripleFaultShutsDownAndStaysSo) {
  EngineGuest g(GetParam());
  g.program([](Assembler& a) { a.ud2(); });
  CpuState s = g.long_mode();
  s.idtr = {0, 0, {}};
  EXPECT_EQ(g.run(s).kind, StopReason::Kind::kTripleFault) << g.cannot();
  EXPECT_EQ(g.state().activity, Activity::kShutdown);
  EXPECT_EQ(g.go_on().kind, StopReason::Kind::kTripleFault);
}

TEST_P(Engines, RomReadsAsMemoryAndItsWritesGoToTheDevice) {
  EngineGuest g(GetParam());
  store_le(g.rom() + 0x10, u64{0x1122334455667788});
  g.program([](Assembler& a) {
    a.mov(edi, EngineGuest::kRomBase);
    a.mov(rbx, qword_ptr(rdi, 0x10));
    a.mov(dword_ptr(rdi, 0x14), 7);
    a.mov(rcx, qword_ptr(rdi, 0x10));
    exit_with(a, 1);
  });
  g.run(g.long_mode());
  SKIP_IF_BACKEND_CANNOT(g);
  EXPECT_EQ(g.state().gpr[kRbx], 0x1122334455667788u);
  EXPECT_EQ(g.state().gpr[kRcx], 0x1122334455667788u);
  ASSERT_EQ(g.rom_writes_.all.size(), 1u);
  EXPECT_EQ(g.rom_writes_.all[0].offset, 0x14u);
  EXPECT_EQ(g.rom_writes_.all[0].value, 7u);
}

TEST_P(Engines, CodeRunsFromRom) {
  EngineGuest g(GetParam());
  const u8 code[] = {0xb8, 0x07, 0, 0, 0, 0xe7, 0xf4, 0xeb, 0xfe};  // mov eax, 7; out f4h, eax
  std::memcpy(g.rom(), code, sizeof code);
  CpuState s = g.long_mode();
  s.rip = EngineGuest::kRomBase;
  g.run(s);
  SKIP_IF_BACKEND_CANNOT(g);
  EXPECT_EQ(g.exit_value, 7u);
}

TEST_P(Engines, MemoryAboveFourGigabytes) {
  EngineGuest g(GetParam());
  store_le(g.high() + 0x800, u64{0xabcdef});
  g.program([](Assembler& a) {
    a.mov(rdi, EngineGuest::kHighBase + 0x800);
    a.mov(rbx, qword_ptr(rdi));
    a.mov(qword_ptr(rdi, 8), rbx);
    exit_with(a, 1);
  });
  g.run(g.long_mode());
  SKIP_IF_BACKEND_CANNOT(g);
  EXPECT_EQ(load_le<u64>(g.high() + 0x808), 0xabcdefu);
}

TEST_P(Engines, WritesAreSeenByWhoeverWatchesThem) {
  EngineGuest g(GetParam());
  GuestRam& block = g.high_block();
  block.set_tracked(DirtyClient::kDisplay, true);
  const u64 pages = block.size_bytes() / kPageBytes;
  for (u64 p = 0; p < pages; ++p) (void)block.test_and_clear_dirty(DirtyClient::kDisplay, p);
  g.program([](Assembler& a) {
    a.mov(rdi, EngineGuest::kHighBase);
    a.mov(rax, qword_ptr(rdi, 0x2000));
    a.mov(byte_ptr(rdi, 0x3123), 1);
    a.mov(byte_ptr(rdi, 0x9000), 1);
    exit_with(a, 1);
  });
  g.run(g.long_mode());
  SKIP_IF_BACKEND_CANNOT(g);
  const auto written = [&](u64 page) {
    for (int i = 0; i < 500 && !block.is_dirty(DirtyClient::kDisplay, page); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return block.test_and_clear_dirty(DirtyClient::kDisplay, page);
  };
  EXPECT_TRUE(written(3));
  EXPECT_TRUE(written(9));
  EXPECT_FALSE(block.is_dirty(DirtyClient::kDisplay, 2));
  EXPECT_FALSE(block.is_dirty(DirtyClient::kDisplay, 4));
  // Seen once, written again: seen again.
  g.program([](Assembler& a) {
    a.mov(rdi, EngineGuest::kHighBase);
    a.mov(byte_ptr(rdi, 0x3123), 2);
    exit_with(a, 1);
  });
  g.run(g.long_mode());
  EXPECT_TRUE(written(3));
  EXPECT_FALSE(block.is_dirty(DirtyClient::kDisplay, 9));
}

TEST_P(Engines, AWindowThatMovesShowsTheOtherMemoryAtOnce) {
  EngineGuest g(GetParam());
  store_le(g.ram() + 0x200000, u64{1});
  store_le(g.ram() + 0x300000, u64{2});
  g.on_call = [&](u32 value) {
    if (value == 0) g.window().set_alias_offset(0x300000);
    if (value == 1) g.window().set_enabled(false);
    if (value == 2) g.window().set_enabled(true);
    if (value == 3) g.window().set_read_only(true);
  };
  g.program([](Assembler& a) {
    a.mov(edi, EngineGuest::kWindowBase);
    a.mov(r8, qword_ptr(rdi));
    a.xor_(eax, eax);
    a.out(0xfb, al);
    a.mov(r9, qword_ptr(rdi));
    a.mov(eax, 1);
    a.out(0xfb, al);
    a.mov(r10, qword_ptr(rdi));
    a.mov(eax, 2);
    a.out(0xfb, al);
    a.mov(qword_ptr(rdi, 8), rax);
    a.mov(eax, 3);
    a.out(0xfb, al);
    a.mov(qword_ptr(rdi, 16), rax);
    a.mov(r11, qword_ptr(rdi, 16));
    exit_with(a, 1);
  });
  g.run(g.long_mode());
  SKIP_IF_BACKEND_CANNOT(g);
  const CpuState s = g.state();
  EXPECT_EQ(s.gpr[kR8], 1u);
  EXPECT_EQ(s.gpr[kR9], 2u);
  EXPECT_EQ(s.gpr[kR10], ~u64{0});
  EXPECT_EQ(g.at(0x300008), 2u);
  EXPECT_EQ(s.gpr[kR11], 0u);
}

TEST_P(Engines, CodeThatChangesItselfRunsAsChanged) {
  EngineGuest g(GetParam());
  g.program([](Assembler& a) {
    const auto loop = a.newLabel(), patched = a.newLabel();
    a.xor_(ebx, ebx);
    a.mov(ecx, 3);
    a.lea(rdi, ptr(patched));
    a.bind(loop);
    a.bind(patched);
    a.add(ebx, 1);  // 83 c3 01
    a.inc(byte_ptr(rdi, 2));
    a.dec(ecx);
    a.jnz(loop);
    exit_with(a, 1);
  });
  g.run(g.long_mode());
  SKIP_IF_BACKEND_CANNOT(g);
  EXPECT_EQ(g.state().gpr[kRbx], 1u + 2u + 3u);
}

TEST_P(Engines, RealModeCodeRuns) {
  EngineGuest g(GetParam());
  // mov ax, 1234h; mov [2000h], ax; push ax; pop bx; mov al, 9; out f4h, al; jmp $
  const u8 code[] = {0xb8, 0x34, 0x12, 0xa3, 0x00, 0x20, 0x50,
                     0x5b, 0xb0, 0x09, 0xe6, 0xf4, 0xeb, 0xfe};
  std::memcpy(g.ram() + EngineGuest::kCodeAt, code, sizeof code);
  g.run(g.real_mode());
  SKIP_IF_BACKEND_CANNOT(g);
  EXPECT_EQ(g.exit_value, 9u);
  EXPECT_EQ(g.at(0x2000) & 0xffff, 0x1234u);
  EXPECT_EQ(g.state().gpr[kRbx] & 0xffff, 0x1234u);
}

// --- ring 3

// The main program enters ring 3 at kUserAt by IRET, with these flags.
constexpr u64 kUserAt = 0x60000;
void enter_user_mode(EngineGuest& g, u64 flags) {
  g.program([&](Assembler& a) {
    a.push(0x2b);  // SS
    a.push(EngineGuest::kUserStackTop);
    a.push(flags);
    a.push(0x33);
    a.push(kUserAt);
    a.iretq();
  });
}

// UD2 in ring 3 asks the kernel: EAX = 0 counts at 20000h, anything else ends the guest with it.
void serve_invalid_opcodes(EngineGuest& g) {
  g.handler(6, [](Assembler& a) {
    const auto ends = a.newLabel();
    a.add(qword_ptr(rsp), 2);
    a.test(eax, eax);
    a.jnz(ends);
    a.inc(dword_ptr(0x20000));
    a.mov(rcx, qword_ptr(rsp, 8));
    a.mov(qword_ptr(0x20008), rcx);  // CS
    a.mov(rcx, qword_ptr(rsp, 24));
    a.mov(qword_ptr(0x20010), rcx);  // RSP
    a.mov(qword_ptr(0x20018), rsp);
    a.iretq();
    a.bind(ends);
    a.out(0xf4, eax);
    a.hlt();
  });
}

TEST_P(Engines, UserModeIsEnteredByIretAndLeftByExceptions) {
  EngineGuest g(GetParam());
  serve_invalid_opcodes(g);
  g.assemble(kUserAt, [](Assembler& a) {
    a.push(rax);
    a.xor_(eax, eax);
    a.ud2();
    a.mov(r8, cs);
    a.ud2();
    a.mov(eax, 4);
    a.ud2();
  });
  enter_user_mode(g, kFlagFixed1);
  g.run(g.long_mode());
  SKIP_IF_BACKEND_CANNOT(g);
  EXPECT_EQ(g.exit_value, 4u);
  EXPECT_EQ(g.at(0x20000) & 0xffffffff, 2u);
  EXPECT_EQ(g.at(0x20008), 0x33u);
  EXPECT_EQ(g.at(0x20010), EngineGuest::kUserStackTop - 8);
  EXPECT_EQ(g.at(0x20018), EngineGuest::kStackTop - 5 * 8);  // from the TSS
  EXPECT_EQ(g.state().gpr[kR8], 0x33u);
}

TEST_P(Engines, UserModeMayNotTouchTheKernelsPages) {
  EngineGuest g(GetParam());
  store_le(g.ram() + EngineGuest::kTablesAt + 0x2000 + 8, u64{0x2000e3});  // 2 MiB to 4 MiB
  g.block().mark_written(EngineGuest::kTablesAt, 0x4000);
  g.handler(14, [](Assembler& a) {
    a.pop(rbx);  // error code
    a.mov(rcx, cr2);
    exit_with(a, 9);
  });
  g.assemble(kUserAt, [](Assembler& a) {
    a.mov(edi, 0x234560);
    a.mov(qword_ptr(rdi), rdi);
  });
  enter_user_mode(g, kFlagFixed1);
  g.run(g.long_mode());
  SKIP_IF_BACKEND_CANNOT(g);
  EXPECT_EQ(g.exit_value, 9u);
  EXPECT_EQ(g.state().gpr[kRbx], 7u);  // present, write, user
  EXPECT_EQ(g.state().gpr[kRcx], 0x234560u);
}

TEST_P(Engines, InterruptsReachUserMode) {
  EngineGuest g(GetParam());
  serve_invalid_opcodes(g);
  g.handler(0x40, [](Assembler& a) {
    a.inc(dword_ptr(0x20020));
    a.iretq();
  });
  g.assemble(kUserAt, [](Assembler& a) {
    const auto loop = a.newLabel();
    a.bind(loop);
    a.cmp(dword_ptr(0x20020), 2);
    a.jb(loop);
    a.mov(eax, 5);
    a.ud2();
  });
  enter_user_mode(g, kFlagFixed1 | kFlagIf);
  std::thread device([&] {
    for (int i = 0; i < 2; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
      g.request(0x40);
    }
  });
  g.run(g.long_mode());
  device.join();
  SKIP_IF_BACKEND_CANNOT(g);
  EXPECT_EQ(g.exit_value, 5u);
}

// A guest that debugs its own ring 3: the trap flag, and a breakpoint in DR0.
TEST_P(Engines, UserModeIsSteppedByTheTrapFlag) {
  EngineGuest g(GetParam());
  serve_invalid_opcodes(g);
  g.handler(1, [](Assembler& a) {
    a.inc(dword_ptr(0x20020));
    a.mov(rcx, qword_ptr(rsp));
    a.mov(qword_ptr(0x20028), rcx);
    a.cmp(dword_ptr(0x20020), 3);
    const auto on = a.newLabel();
    a.jne(on);
    a.and_(dword_ptr(rsp, 16), ~0x100);
    a.bind(on);
    a.iretq();
  });
  g.assemble(kUserAt, [](Assembler& a) {
    for (int i = 0; i < 6; ++i) a.nop();
    a.mov(eax, 7);
    a.ud2();
  });
  enter_user_mode(g, kFlagFixed1 | kFlagTf);
  g.run(g.long_mode());
  SKIP_IF_BACKEND_CANNOT(g);
  EXPECT_EQ(g.exit_value, 7u);
  EXPECT_EQ(g.at(0x20020) & 0xffffffff, 3u);
  EXPECT_EQ(g.at(0x20028), kUserAt + 3);
}

TEST_P(Engines, UserModeStopsAtBreakpoints) {
  EngineGuest g(GetParam());
  serve_invalid_opcodes(g);
  g.handler(1, [](Assembler& a) {
    a.inc(dword_ptr(0x20020));
    a.mov(rcx, qword_ptr(rsp));
    a.mov(qword_ptr(0x20028), rcx);
    a.mov(rcx, dr6);
    a.mov(qword_ptr(0x20030), rcx);
    a.or_(dword_ptr(rsp, 16), 0x10000);  // RF: once
    a.iretq();
  });
  g.assemble(kUserAt, [](Assembler& a) {
    for (int i = 0; i < 6; ++i) a.nop();
    a.mov(eax, 8);
    a.ud2();
  });
  enter_user_mode(g, kFlagFixed1);
  CpuState s = g.long_mode();
  s.dr[0] = kUserAt + 4;
  s.dr7 = 0x402;  // DR0, global, execution
  g.run(s);
  SKIP_IF_BACKEND_CANNOT(g);
  EXPECT_EQ(g.exit_value, 8u);
  EXPECT_EQ(g.state().dr7, 0x402u);
  if (is_emulated(GetParam()) && g.at(0x20020) == 0) {
    GTEST_SKIP() << "this emulated KVM keeps DR7 but does not load it";
  }
  EXPECT_EQ(g.at(0x20020) & 0xffffffff, 1u);
  EXPECT_EQ(g.at(0x20028), kUserAt + 4);
  EXPECT_EQ(g.at(0x20030) & 0xf, 1u);
}

TEST_P(Engines, SystemCallsComeBack) {
  EngineGuest g(GetParam());
  g.handler(13, [](Assembler& a) { exit_with(a, 13); });
  g.assemble(kUserAt, [](Assembler& a) {
    a.mov(ebx, 0x1111);
    a.syscall();
    a.mov(ebx, 0x2222);
    a.syscall();
  });
  g.assemble(0x61000, [](Assembler& a) {  // the system call
    const auto back = a.newLabel();
    a.mov(r9, cs);
    a.cmp(ebx, 0x2222);
    a.jne(back);
    exit_with(a, 4);
    a.bind(back);
    a.inc(dword_ptr(0x20000));
    a.sysretq();
  });
  CpuState s = g.long_mode();
  s.star = u64{8} << 32 | u64{0x23} << 48;
  s.lstar = 0x61000;
  s.sfmask = kFlagIf;
  enter_user_mode(g, kFlagFixed1);
  const StopReason reason = g.run(s);
  SKIP_IF_BACKEND_CANNOT(g);
  if (is_emulated(GetParam()) && g.exit_value == 13 && g.state().gpr[kR9] == 0x33) {
    GTEST_SKIP() << "SYSCALL leaves this emulated KVM in ring 3, where SYSRET is a #GP";
  }
  EXPECT_EQ(reason.kind, StopReason::Kind::kKicked);
  EXPECT_EQ(g.exit_value, 4u);
  EXPECT_EQ(g.state().gpr[kR9], 8u);
  EXPECT_EQ(g.at(0x20000) & 0xffffffff, 1u);
}

TEST_P(Engines, TheTaskPriorityIsTheApicsAndCr8) {
  EngineGuest g(GetParam());
  g.priority = 5;
  g.program([](Assembler& a) {
    a.mov(rbx, cr8);
    a.mov(ecx, 9);
    a.mov(cr8, rcx);
    a.mov(rdx, cr8);
    exit_with(a, 1);
  });
  g.run(g.long_mode());
  SKIP_IF_BACKEND_CANNOT(g);
  EXPECT_EQ(g.state().gpr[kRbx], 5u);
  EXPECT_EQ(g.state().gpr[kRdx], 9u);
  EXPECT_EQ(g.priority, 9);
}

// --- two processors

// At `address`, real mode at segment address/16: out port, value; cli; hlt.
void put_real_mode_out(EngineGuest& g, u64 address, u8 port, u8 value) {
  const u8 code[] = {0xb0, value, 0xe6, port, 0xfa, 0xf4, 0xeb, 0xfd};
  std::memcpy(g.ram() + address, code, sizeof code);
}

TEST_P(Engines, InitAndSipiStartTheSecondProcessor) {
  EngineGuest g(GetParam(), 2);
  put_real_mode_out(g, 0x8000, 0xf4, 77);
  CpuState second;
  reset_cpu(second, false);
  second.activity = Activity::kWaitForSipi;
  g.program([](Assembler& a) {
    a.out(0xf7, al);  // INIT
    a.mov(eax, 8);
    a.out(0xf8, al);  // SIPI to 8000h
    const auto here = a.newLabel();
    a.bind(here);
    a.jmp(here);
  });
  g.run_both(g.long_mode(), second);
  SKIP_IF_BACKEND_CANNOT(g);
  EXPECT_EQ(g.exit_value, 77u);
}

TEST_P(Engines, ProcessorsInterruptEachOtherAndShareMemory) {
  EngineGuest g(GetParam(), 2);
  g.handler(0x50, [](Assembler& a) {
    a.lock().inc(dword_ptr(0x20000));
    a.iretq();
  });
  g.program([](Assembler& a) {
    const auto wait = a.newLabel();
    a.mov(eax, 0x50);
    a.out(0xf6, al);
    a.bind(wait);
    a.pause();
    a.cmp(dword_ptr(0x20000), 1);
    a.jne(wait);
    exit_with(a, 8);
  });
  g.assemble(0x70000, [](Assembler& a) {
    const auto loop = a.newLabel();
    a.sti();
    a.bind(loop);
    a.hlt();
    a.jmp(loop);
  });
  CpuState second = g.long_mode();
  second.rip = 0x70000;
  second.gpr[kRsp] = 0x98000;
  g.run_both(g.long_mode(), second);
  SKIP_IF_BACKEND_CANNOT(g);
  EXPECT_EQ(g.exit_value, 8u);
}

// --- state

// A state with every register different; valid for both engines.
CpuState colourful(EngineGuest& g) {
  CpuState s = g.long_mode();
  for (unsigned i = 0; i < 16; ++i) s.gpr[i] = 0x0101010101010101 * (i + 1);
  s.rflags = kFlagFixed1 | kFlagCf | kFlagZf | kFlagOf;
  s.segments[kFs].base = 0x123456789000;
  s.segments[kGs].base = 0xffff888000000000;
  s.kernel_gs_base = 0xffff999000000000;
  s.star = 0x0013000800000000;
  s.lstar = 0xffffffff81000000;
  s.cstar = 0xffffffff81000100;
  s.sfmask = 0x47700;
  s.sysenter_cs = 8;
  s.sysenter_esp = 0x7000;
  s.sysenter_eip = 0x8000;
  s.pat = 0x0407010600070106;
  s.cr2 = 0x1234567;
  s.dr[0] = 0x1000;
  s.dr[3] = 0x4000;
  for (unsigned i = 0; i < 16; ++i) s.xsave[160 + 16 * i] = static_cast<u8>(0xa0 + i);  // XMM
  s.xsave[512] = 3;  // XSTATE_BV: x87 and SSE
  s.nmi_blocked = true;
  return s;
}

void expect_equal(const CpuState& a, const CpuState& b) {
  for (unsigned i = 0; i < 16; ++i) EXPECT_EQ(a.gpr[i], b.gpr[i]) << "gpr " << i;
  EXPECT_EQ(a.rip, b.rip);
  EXPECT_EQ(a.rflags, b.rflags);
  for (unsigned i = 0; i < kSegmentCount; ++i) {
    EXPECT_EQ(a.segments[i].base, b.segments[i].base) << "segment " << i;
    EXPECT_EQ(a.segments[i].limit, b.segments[i].limit) << "segment " << i;
    EXPECT_EQ(a.segments[i].selector, b.segments[i].selector) << "segment " << i;
    EXPECT_EQ(a.segments[i].attributes, b.segments[i].attributes) << "segment " << i;
  }
  EXPECT_EQ(a.tr.base, b.tr.base);
  EXPECT_EQ(a.gdtr, b.gdtr);
  EXPECT_EQ(a.idtr, b.idtr);
  EXPECT_EQ(a.cr0, b.cr0);
  EXPECT_EQ(a.cr2, b.cr2);
  EXPECT_EQ(a.cr3, b.cr3);
  EXPECT_EQ(a.cr4, b.cr4);
  EXPECT_EQ(a.efer, b.efer);
  EXPECT_EQ(a.kernel_gs_base, b.kernel_gs_base);
  EXPECT_EQ(a.star, b.star);
  EXPECT_EQ(a.lstar, b.lstar);
  EXPECT_EQ(a.cstar, b.cstar);
  EXPECT_EQ(a.sfmask, b.sfmask);
  EXPECT_EQ(a.sysenter_cs, b.sysenter_cs);
  EXPECT_EQ(a.sysenter_esp, b.sysenter_esp);
  EXPECT_EQ(a.sysenter_eip, b.sysenter_eip);
  EXPECT_EQ(a.pat, b.pat);
  EXPECT_EQ(a.dr[0], b.dr[0]);
  EXPECT_EQ(a.dr[3], b.dr[3]);
  EXPECT_EQ(a.nmi_blocked, b.nmi_blocked);
  for (unsigned i = 160; i < 416; ++i) EXPECT_EQ(a.xsave[i], b.xsave[i]) << "xsave byte " << i;
  EXPECT_EQ(a.activity, b.activity);
}

TEST_P(Engines, StateGoesInAndComesOutTheSame) {
  EngineGuest g(GetParam());
  const CpuState in = colourful(g);
  g.cpu().set_state(in);
  expect_equal(in, g.state());
}

TEST_P(Engines, WaitingProcessorsStayWaiting) {
  EngineGuest g(GetParam());
  CpuState s;
  reset_cpu(s, false);
  s.activity = Activity::kWaitForSipi;
  g.cpu().kick();
  g.run(s);
  EXPECT_EQ(g.state().activity, Activity::kWaitForSipi);
}

// --- one engine's guest goes on under the other

Engine other(Engine engine) {
  return engine == Engine::kKvm ? Engine::kTranslator : Engine::kKvm;
}

void copy_memory(EngineGuest& from, EngineGuest& to) {
  std::memcpy(to.ram(), from.ram(), EngineGuest::kRamBytes);
  to.block().mark_written(0, EngineGuest::kRamBytes);
}

TEST_P(Engines, SavedHereAGuestGoesOnUnderTheOtherEngine) {
  const std::string missing = engine_missing(other(GetParam()));
  if (!missing.empty()) GTEST_SKIP() << missing;
  EngineGuest first(GetParam());
  counting_handler(first, 0x40, 0x20000);
  first.program([](Assembler& a) {
    const auto loop = a.newLabel();
    a.mov(r12, 0x1234567890);
    a.xor_(ebx, ebx);
    a.sti();
    a.bind(loop);
    a.inc(rbx);
    a.mov(rax, qword_ptr(0x20010));
    a.test(rax, rax);
    a.jz(loop);
    a.mov(eax, dword_ptr(0x20000));
    a.out(0xf4, eax);
    a.hlt();
  });
  std::atomic<bool> over{false};
  std::thread kicker([&] {  // once the guest is seen to have been interrupted
    first.request(0x40);
    while (!over && first.at(0x20000) == 0) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    first.cpu().kick();
  });
  first.run(first.long_mode());
  over = true;
  kicker.join();
  SKIP_IF_BACKEND_CANNOT(first);
  StateIo saver = StateIo::saver();
  CpuState saved = first.state();
  transfer(saved, saver);

  EngineGuest second(other(GetParam()));
  copy_memory(first, second);
  CpuState loaded;
  StateIo loader = StateIo::loader(saver.bytes());
  transfer(loaded, loader);
  ASSERT_TRUE(loader.finish());
  store_le(second.ram() + 0x20010, u64{1});
  second.interrupts = {0x40};
  second.cpu().set_interrupt_line(true);
  second.run(loaded);
  SKIP_IF_BACKEND_CANNOT(second);
  EXPECT_EQ(second.exit_value, 2u);
  EXPECT_EQ(second.state().gpr[kR12], 0x1234567890u);
}

TEST_P(Engines, AHaltSavedHereEndsUnderTheOtherEngine) {
  const std::string missing = engine_missing(other(GetParam()));
  if (!missing.empty()) GTEST_SKIP() << missing;
  EngineGuest first(GetParam());
  counting_handler(first, 0x40, 0x20000);
  first.program([](Assembler& a) {
    a.sti();
    a.hlt();
    a.cli();
    exit_with(a, 12);
  });
  std::thread kicker([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    first.cpu().kick();
  });
  first.run(first.long_mode());
  kicker.join();
  SKIP_IF_BACKEND_CANNOT(first);
  EngineGuest second(other(GetParam()));
  copy_memory(first, second);
  second.request(0x40);
  second.run(first.state());
  SKIP_IF_BACKEND_CANNOT(second);
  EXPECT_EQ(second.exit_value, 12u);
  EXPECT_EQ(second.at(0x20000) & 0xffffffff, 1u);
}

// In the middle of ring-3 code, with the registers that only ring 3 uses here.
TEST_P(Engines, UserModeSavedHereGoesOnUnderTheOtherEngine) {
  const std::string missing = engine_missing(other(GetParam()));
  if (!missing.empty()) GTEST_SKIP() << missing;
  EngineGuest first(GetParam());
  serve_invalid_opcodes(first);
  first.assemble(kUserAt, [](Assembler& a) {
    const auto loop = a.newLabel();
    a.mov(r12, 0x1234567890);
    a.movq(xmm5, r12);
    a.xor_(ebx, ebx);
    a.bind(loop);
    a.inc(rbx);
    a.mov(dword_ptr(0x20040), ebx);
    a.paddq(xmm5, xmm5);
    a.psrlq(xmm5, 1);
    a.cmp(dword_ptr(0x20020), 0);
    a.jz(loop);
    a.xor_(eax, eax);
    a.ud2();
    a.movq(r13, xmm5);
    a.mov(eax, 6);
    a.ud2();
  });
  enter_user_mode(first, kFlagFixed1 | kFlagIf);
  std::atomic<bool> over{false};
  std::thread kicker([&] {  // once ring 3 is seen to run
    while (!over && first.at(0x20040) == 0) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    first.cpu().kick();
  });
  first.run(first.long_mode());
  over = true;
  kicker.join();
  SKIP_IF_BACKEND_CANNOT(first);
  StateIo saver = StateIo::saver();
  CpuState saved = first.state();
  EXPECT_EQ(saved.cpl(), 3u);
  EXPECT_GT(saved.gpr[kRbx], 0u);
  transfer(saved, saver);

  EngineGuest second(other(GetParam()));
  copy_memory(first, second);
  CpuState loaded;
  StateIo loader = StateIo::loader(saver.bytes());
  transfer(loaded, loader);
  ASSERT_TRUE(loader.finish());
  store_le(second.ram() + 0x20020, u32{1});
  second.run(loaded);
  SKIP_IF_BACKEND_CANNOT(second);
  EXPECT_EQ(second.exit_value, 6u);
  EXPECT_EQ(second.state().gpr[kR13], 0x1234567890u);
  EXPECT_EQ(second.at(0x20000) & 0xffffffff, 1u);
  EXPECT_EQ(second.at(0x20008), 0x33u);
}

TEST_P(Engines, ColourfulStateCrossesOver) {
  const std::string missing = engine_missing(other(GetParam()));
  if (!missing.empty()) GTEST_SKIP() << missing;
  EngineGuest first(GetParam()), second(other(GetParam()));
  const CpuState in = colourful(first);
  first.cpu().set_state(in);
  second.cpu().set_state(first.state());
  expect_equal(in, second.state());
}

// What a debugger asks for.
TEST_P(Engines, ADebuggerStepsAndStopsAtItsBreakpoints) {
  EngineGuest g(GetParam());
  g.program([](Assembler& a) {
    a.nop();
    a.nop();
    a.inc(rax);
    a.nop();
    exit_with(a, 7);
  });
  GuestDebug debug;
  debug.single_step = true;
  if (!g.cpu().set_debug(debug)) GTEST_SKIP() << "the translator has no debugger's door";
  CpuState s = g.long_mode();
  s.gpr[kRax] = 0;
  EXPECT_EQ(g.run(s).kind, StopReason::Kind::kDebug);
  SKIP_IF_BACKEND_CANNOT(g);
  if (g.exit_value != ~0u) GTEST_SKIP() << "this emulated KVM takes single steps and makes none";
  EXPECT_EQ(g.state().rip, EngineGuest::kCodeAt + 1);
  EXPECT_EQ(g.go_on().kind, StopReason::Kind::kDebug);
  EXPECT_EQ(g.state().rip, EngineGuest::kCodeAt + 2);

  debug.single_step = false;
  debug.breakpoints[1] = EngineGuest::kCodeAt + 5;
  ASSERT_TRUE(g.cpu().set_debug(debug));
  const StopReason reason = g.go_on();
  if (g.exit_value != ~0u) GTEST_SKIP() << "this emulated KVM takes breakpoints and has none";
  EXPECT_EQ(reason.kind, StopReason::Kind::kDebug);
  EXPECT_EQ(g.state().rip, EngineGuest::kCodeAt + 5);
  EXPECT_EQ(g.state().gpr[kRax], 1u);

  ASSERT_TRUE(g.cpu().set_debug({}));
  EXPECT_EQ(g.go_on().kind, StopReason::Kind::kKicked);
  EXPECT_EQ(g.exit_value, 7u);
}

}  // namespace
}  // namespace emu
