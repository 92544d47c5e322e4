// SPDX-License-Identifier: Apache-2.0
// Ring-3 code in a process of its own against the same code translated: every guest here runs both
// ways and must end alike, whatever stops it in between.
// Source: Intel SDM vol. 3 4.7 (page-fault error codes), 4.8 (A/D bits), 4.10.4 (invalidation).
#include <chrono>
#include <cstring>
#include <thread>

#include "tcg/host_thread.h"
#include "tcg/small_guest.h"

namespace emu {
namespace {

using namespace asmjit::x86;

constexpr u64 kUserCodeAt = 0x200000;
constexpr u64 kUserStackTop = 0x2f0000;
constexpr u64 kKernelAt = 0x20000;  // routines that system calls name by address
constexpr u64 kHandlersAt = 0x30000;
constexpr u64 kTablesAt = 0x40000;  // GDT, TSS
constexpr u64 kTssAt = kTablesAt + 0x100;
constexpr u64 kLogAt = 0x50000;  // what handlers note: count, then entries
// A page of 4 KiB, by tables of its own.
constexpr u64 kPage = u64{1} << 39;
constexpr u64 kPageEntryAt = 0x103000 + 0x2000;
constexpr u64 kFirstFrame = 0x300000, kSecondFrame = 0x301000;
constexpr u64 kFunctionAt = 0x210000;
constexpr u64 kRoot = 0x106000;  // the other address space's
constexpr u64 kPresent = 1, kWritable = 2, kUser = 4, kAccessed = 0x20, kDirty = 0x40;

u64 counter(SmallGuest& g, const std::string& name) {
  const std::string text = "\n" + g.cpu().counters();
  const auto at = text.find("\n" + name + " ");
  return at == std::string::npos ? 0 : std::stoull(text.substr(at + name.size() + 2));
}

// A machine with a kernel that does what ring 3 asks for: SYSCALL calls the ring-0 routine at RAX.
class UserGuest {
 public:
  explicit UserGuest(NativeUser when) : g(options(when)), s(g.long_mode()) {
    const u64 gdt[] = {0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0,
                       0, 0x00cff3000000ffff, 0x00affb000000ffff};
    std::memcpy(g.ram() + kTablesAt, gdt, sizeof gdt);
    s.gdtr = {kTablesAt, sizeof gdt - 1, {}};
    s.tr = {kTssAt, 0x67, 0, 0x008b};
    store_le(g.ram() + kTssAt + 4, u64{SmallGuest::kStackTop});
    s.segments[kCs] = {0, 0xffffffff, 0x33, 0xa0fb};
    s.segments[kSs] = {0, 0xffffffff, 0x2b, 0xc0f3};
    for (unsigned i : {kDs, kEs, kFs, kGs}) s.segments[i] = {0, 0, 0, kSegUnusable};
    s.cr4 |= kCr4Osxsave | kCr4Fsgsbase;
    s.xcr0 = host_vector_components();
    s.star = (u64{0x23} << 48) | (u64{8} << 32);
    s.lstar = kHandlersAt;
    s.rip = kUserCodeAt;
    s.gpr[kRsp] = kUserStackTop;
    s.rflags |= kFlagIf;
    s.tsc_aux = 0x1234;
    u8* t = g.ram() + SmallGuest::kPageTablesAt;
    store_le(t + 8, u64{SmallGuest::kPageTablesAt + 0x4000} | 7);
    store_le(t + 0x4000, u64{SmallGuest::kPageTablesAt + 0x7000} | 7);
    store_le(t + 0x7000, kPageEntryAt | 7);
    g.assemble(kHandlersAt, [](Assembler& a) {
      a.push(rcx);
      a.push(r11);
      a.call(rax);
      a.pop(r11);
      a.pop(rcx);
      a.db(0x48);  // SYSRET to 64-bit code
      a.sysret();
    });
    g.assemble(exit_routine(), [](Assembler& a) {
      a.mov(eax, edi);
      a.out(0xf4, eax);
      a.hlt();
    });
  }

  static u64 exit_routine() { return kKernelAt; }
  static u64 routine(unsigned i) { return kKernelAt + 0x100 * (i + 1); }

  // Logs what happened and calls `body`, which may change RAX and RDX, and says what to skip.
  void on_exception(
      unsigned vector, bool has_error,
      const std::function<void(Assembler&)>& body = [](Assembler&) {}) {
    const u64 at = kHandlersAt + 0x100 + 0x80 * vector;
    g.set_gate(vector, at);
    if (vector == 3) g.ram()[SmallGuest::kIdtAt + 16 * 3 + 5] = 0xee;
    g.assemble(at, [&](Assembler& a) {
      if (!has_error) a.push(0);
      a.push(rax);
      a.push(rdx);
      a.mov(rdx, qword_ptr(kLogAt));
      a.inc(qword_ptr(kLogAt));
      a.shl(edx, 5);
      a.mov(qword_ptr(rdx, kLogAt + 0x20), vector);
      a.mov(rax, qword_ptr(rsp, 16));
      a.mov(qword_ptr(rdx, kLogAt + 0x28), rax);  // error code
      a.mov(rax, cr2);
      a.mov(qword_ptr(rdx, kLogAt + 0x30), rax);
      a.mov(rax, qword_ptr(rsp, 24));
      a.mov(qword_ptr(rdx, kLogAt + 0x38), rax);  // rip
      body(a);
      a.pop(rdx);
      a.pop(rax);
      a.add(rsp, 8);
      a.iretq();
    });
  }
  void map_page(u64 entry) { store_le(g.ram() + kPageEntryAt, entry); }
  u64 page_entry() { return load_le<u64>(g.ram() + kPageEntryAt); }

  void user(const std::function<void(Assembler&)>& body) { g.assemble(kUserCodeAt, body); }
  void run() { g.run(s); }

  static TcgOptions options(NativeUser when) {
    TcgOptions o;
    o.native_user = when;
    return o;
  }

  SmallGuest g;
  CpuState s;
};

void call_kernel(Assembler& a, u64 routine) {
  a.mov(eax, routine);
  a.syscall();
}

void exit_with(Assembler& a, const Gp& value) {
  a.mov(edi, value);
  call_kernel(a, UserGuest::exit_routine());
}

struct Outcome {
  u32 exit_value;
  std::vector<u8> ram;
  std::string output;
  u64 gpr[16];
};

// Runs what `build` makes, translated and natively; what it ends in must be the same.
void compare(const std::function<void(UserGuest&)>& build) {
  Outcome outcomes[2];
  for (unsigned i = 0; i < 2; ++i) {
    UserGuest u(i == 0 ? NativeUser::kOff : NativeUser::kAlways);
    build(u);
    u.run();
    if (i == 1 && u.g.cpu().counters().find("native_unavailable") != std::string::npos) {
      GTEST_SKIP() << "this host cannot: " << u.g.cpu().counters();
    }
    EXPECT_EQ(counter(u.g, "native_entries") != 0, i == 1);
    Outcome& o = outcomes[i];
    o.exit_value = u.g.exit_value;
    o.output = u.g.output;
    o.ram.assign(u.g.ram(), u.g.ram() + SmallGuest::kRamBytes);
    const CpuState end = u.g.state();
    std::memcpy(o.gpr, end.gpr, sizeof o.gpr);
  }
  EXPECT_EQ(outcomes[0].exit_value, outcomes[1].exit_value);
  EXPECT_NE(outcomes[0].exit_value, ~0u);
  EXPECT_EQ(outcomes[0].output, outcomes[1].output);
  for (unsigned i = 0; i < 16; ++i) EXPECT_EQ(outcomes[0].gpr[i], outcomes[1].gpr[i]) << i;
  for (u64 i = 0; i < SmallGuest::kRamBytes; i += 8) {
    const u64 a = load_le<u64>(outcomes[0].ram.data() + i);
    const u64 b = load_le<u64>(outcomes[1].ram.data() + i);
    if (a != b) {
      ADD_FAILURE() << fmt::format("RAM at {:x}: {:x} translated, {:x} natively", i, a, b);
      return;
    }
  }
}

TEST(NativeUser, ComputesTheSameAcrossSystemCalls) {
  compare([](UserGuest& u) {
    u.g.assemble(UserGuest::routine(0), [](Assembler& a) {
      a.pxor(xmm1, xmm1);
      a.inc(qword_ptr(kLogAt));
      a.ret();
    });
    u.user([](Assembler& a) {
      const auto loop = a.newLabel();
      a.mov(ebx, 100);
      a.mov(rdx, u64{0x0123456789abcdef});
      a.vmovq(xmm0, rdx);
      a.vpbroadcastq(ymm2, xmm0);
      a.fldpi();
      a.std();
      a.bind(loop);
      a.imul(rdx, rdx, 77);
      a.adc(rdx, rbx);
      a.vpaddq(ymm2, ymm2, ymm2);
      a.vmovq(xmm1, rdx);
      a.fadd(st0, st0);
      call_kernel(a, UserGuest::routine(0));
      a.vpaddq(xmm3, xmm3, xmm1);
      a.dec(ebx);
      a.jnz(loop);
      a.pushfq();
      a.cld();
      a.vmovdqu(ymmword_ptr(rsp, -64), ymm2);
      a.vmovdqu(ymmword_ptr(rsp, -96), ymm3);
      a.fstp(qword_ptr(rsp, -104));
      exit_with(a, edx);
    });
  });
}

// Access rights as the page tables have them; accessed and dirty bits as accesses set them.
TEST(NativeUser, PageFaultsAndAccessedAndDirtyBits) {
  compare([](UserGuest& u) {
    u.on_exception(14, true, [](Assembler& a) {
      a.mov(rax, qword_ptr(kPageEntryAt));
      a.mov(qword_ptr(kLogAt + 0x1000), rax);
      a.mov(qword_ptr(kPageEntryAt), kFirstFrame | kPresent | kWritable | kUser);
    });
    u.user([](Assembler& a) {
      a.mov(rsi, kPage);
      a.mov(rbx, qword_ptr(rsi));          // a page fault; then A
      a.mov(r8, qword_ptr(kPageEntryAt));  // A
      a.mov(dword_ptr(rsi, 8), 0x1234);    // D
      a.mov(r9, qword_ptr(kPageEntryAt));  // A and D
      a.mov(dword_ptr(rsi, 12), 0x5678);
      exit_with(a, r9d);
    });
  });
}

// A store to a read-only page: the kernel copies it, as for copy-on-write.
TEST(NativeUser, CopyOnWrite) {
  compare([](UserGuest& u) {
    u.map_page(kFirstFrame | kPresent | kUser | kAccessed);
    store_le(u.g.ram() + kFirstFrame, u64{77});
    u.on_exception(14, true, [](Assembler& a) {
      a.mov(rax, qword_ptr(kFirstFrame));
      a.mov(qword_ptr(kSecondFrame), rax);
      a.mov(qword_ptr(kPageEntryAt),
            kSecondFrame | kPresent | kWritable | kUser | kAccessed | kDirty);
      a.mov(rax, kPage);
      a.invlpg(ptr(rax));
    });
    u.user([](Assembler& a) {
      a.mov(rsi, kPage);
      a.mov(rbx, qword_ptr(rsi));
      a.add(qword_ptr(rsi), 5);
      a.mov(rdx, qword_ptr(rsi));
      exit_with(a, edx);
    });
  });
}

// INVLPG, and two address spaces with different pages in one place.
TEST(NativeUser, FlushesAreSeen) {
  compare([](UserGuest& u) {
    constexpr u64 kBits = kPresent | kWritable | kUser | kAccessed | kDirty;
    u.map_page(kFirstFrame | kBits);
    store_le(u.g.ram() + kFirstFrame, u64{1});
    store_le(u.g.ram() + kSecondFrame, u64{2});
    // The other space: the same but for the page.
    u8* t = u.g.ram();
    std::memcpy(t + kRoot, t + SmallGuest::kPageTablesAt, kPageBytes);
    store_le(t + kRoot + 8, u64{0x108000} | 7);
    store_le(t + 0x108000, u64{0x109000} | 7);
    store_le(t + 0x109000, u64{0x10a000} | 7);
    store_le(t + 0x10a000, kSecondFrame | kBits);
    u.g.assemble(UserGuest::routine(0), [](Assembler& a) {  // swaps the page
      a.mov(qword_ptr(kPageEntryAt), kSecondFrame | kBits);
      a.mov(rax, kPage);
      a.invlpg(ptr(rax));
      a.ret();
    });
    u.g.assemble(UserGuest::routine(1), [](Assembler& a) {
      a.mov(eax, kRoot);
      a.mov(cr3, rax);
      a.ret();
    });
    u.g.assemble(UserGuest::routine(2), [](Assembler& a) {
      a.mov(qword_ptr(kPageEntryAt), kFirstFrame | kBits);
      a.mov(eax, SmallGuest::kPageTablesAt);
      a.mov(cr3, rax);
      a.ret();
    });
    u.user([](Assembler& a) {
      a.mov(rsi, kPage);
      a.mov(rbx, qword_ptr(rsi));
      call_kernel(a, UserGuest::routine(0));
      a.shl(rbx, 4);
      a.or_(rbx, qword_ptr(rsi));
      for (unsigned i = 0; i < 4; ++i) {
        call_kernel(a, UserGuest::routine(1));
        a.shl(rbx, 4);
        a.or_(rbx, qword_ptr(rsi));
        a.inc(qword_ptr(rsi));
        call_kernel(a, UserGuest::routine(2));
        a.shl(rbx, 4);
        a.or_(rbx, qword_ptr(rsi));
        a.inc(qword_ptr(rsi));
      }
      exit_with(a, ebx);
    });
  });
}

// What the host would answer for itself is the guest's, and exceptions are the guest's own.
TEST(NativeUser, InstructionsThatStop) {
  compare([](UserGuest& u) {
    for (unsigned v : {0u, 3u, 6u, 13u}) {
      u.on_exception(v, v == 13, [v](Assembler& a) {
        if (v != 3) a.add(qword_ptr(rsp, 24), 2);  // each two bytes long
      });
    }
    u.user([](Assembler& a) {
      a.mov(eax, 0);
      a.cpuid();
      a.mov(r8, rbx);
      a.mov(eax, 1);
      a.mov(ecx, 0);
      a.cpuid();
      a.mov(r9, rcx);
      a.rdpid(r10);
      a.rdtsc();
      a.shl(rdx, 32);
      a.or_(rax, rdx);
      a.mov(r11, rax);
      a.rdtsc();
      a.shl(rdx, 32);
      a.or_(rax, rdx);
      a.cmp(rax, r11);
      a.seta(r12b);  // time goes on
      a.xor_(eax, eax);
      a.xor_(edx, edx);
      a.xor_(ecx, ecx);
      a.div(ecx);
      a.ud2();
      a.int3();
      a.int_(0x40);  // no gate: #GP
      a.in(al, 0x10);
      a.mov(rsi, SmallGuest::kMmioBase);
      a.mov(dword_ptr(rsi), 0x4711);
      a.mov(edi, dword_ptr(rsi));
      a.mov(r11d, 0);
      exit_with(a, edi);
    });
  });
}

TEST(NativeUser, SingleSteps) {
  compare([](UserGuest& u) {
    u.on_exception(1, false);
    u.user([](Assembler& a) {
      a.pushfq();
      a.or_(dword_ptr(rsp), u32{kFlagTf});
      a.popfq();
      a.mov(ebx, 1);
      a.mov(ebx, 2);
      a.pushfq();
      a.and_(dword_ptr(rsp), ~u32{kFlagTf});
      a.popfq();
      a.mov(ebx, 3);
      exit_with(a, ebx);
    });
  });
}

// Code that both have run, and that native code changes; then ring 0 runs it again.
TEST(NativeUser, ChangedCode) {
  compare([](UserGuest& u) {
    u.g.assemble(kFunctionAt, [](Assembler& a) {
      a.mov(eax, 1);
      a.ret();
    });
    u.g.assemble(UserGuest::routine(0), [](Assembler& a) {
      a.mov(ebx, kFunctionAt);
      a.call(rbx);
      a.add(ebp, eax);
      a.ret();
    });
    u.user([](Assembler& a) {
      const auto loop = a.newLabel();
      a.mov(r12d, 50);
      a.xor_(ebp, ebp);
      a.bind(loop);
      a.mov(ebx, kFunctionAt);
      a.call(rbx);
      a.add(ebp, eax);
      call_kernel(a, UserGuest::routine(0));
      a.add(dword_ptr(rbx, 1), 3);  // the constant
      a.dec(r12d);
      a.jnz(loop);
      exit_with(a, ebp);
    });
  });
}

// A loop without end is stopped by an interrupt, and by the machine.
TEST(NativeUser, InterruptsAndKicks) {
  UserGuest u(NativeUser::kAlways);
  u.on_exception(0x30, false, [](Assembler& a) { a.inc(qword_ptr(kLogAt + 0x1008)); });
  u.user([](Assembler& a) {
    const auto loop = a.newLabel();
    a.bind(loop);
    a.inc(rbx);
    a.jmp(loop);
  });
  std::thread other([&] {
    for (u64 i = 0; i < 20; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
      u.g.interrupts = {0x30};
      u.g.cpu().set_interrupt_line(true);
      while (__atomic_load_n(reinterpret_cast<u64*>(u.g.ram() + kLogAt + 0x1008),
                             __ATOMIC_SEQ_CST) != i + 1) {
        std::this_thread::yield();
      }
    }
    u.g.cpu().kick();
  });
  const StopReason reason = u.g.run(u.s);
  other.join();
  EXPECT_EQ(reason.kind, StopReason::Kind::kKicked);
  const CpuState s = u.g.state();
  EXPECT_EQ(s.cpl(), 3u);
  EXPECT_GT(s.gpr[kRbx], 0u);
  EXPECT_LT(s.rip - kUserCodeAt, 6u);
}

}  // namespace
}  // namespace emu
