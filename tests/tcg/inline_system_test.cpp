// SPDX-License-Identifier: Apache-2.0
// System instructions that generated code carries out itself: STAC and CLAC, SYSCALL and SYSRET, FS
// and GS bases, short string instructions, XSAVE and XRSTOR by the host's own. Each program also
// runs with all of that switched off, and must end in the same state. Source: Intel SDM vol. 2
// (each instruction); vol. 3 4.6.1 (SMAP).
#include "cpu/msr.h"
#include "tcg/small_guest.h"

namespace emu {
namespace {

using namespace asmjit::x86;

constexpr u64 kUserData = 0x200000;  // a page that ring 3 may access, with SMAP
constexpr u64 kFaultHandler = 0x50000;
constexpr u64 kKernel = 0x30040, kOtherKernel = 0x38040;
constexpr u64 kArea = 0x210000;
constexpr u32 kRounds = 100;

TcgOptions plain() {
  TcgOptions o;
  o.inline_modes = o.inline_strings = o.host_xsave = false;
  return o;
}

u64 counter(SmallGuest& g, const std::string& name) {
  const std::string text = "\n" + g.cpu().counters();
  const auto at = text.find("\n" + name + " ");
  return at == std::string::npos ? 0 : std::stoull(text.substr(at + name.size() + 2));
}

void finish(Assembler& a) {
  a.out(0xf4, al);
  a.hlt();
}

// R12 counts page faults; the faulting instruction, three bytes long, is skipped.
CpuState with_smap(SmallGuest& g) {
  CpuState s = g.long_mode();
  s.cr4 |= kCr4Smap;
  u8* t = g.ram() + SmallGuest::kPageTablesAt;
  store_le(t + 0x2000, u64{0xe3});  // the first 2 MiB are the kernel's
  g.set_gate(kVectorPf, kFaultHandler);
  g.assemble(kFaultHandler, [](Assembler& a) {
    a.inc(r12);
    a.add(rsp, 8);
    a.add(qword_ptr(rsp), 3);
    a.iretq();
  });
  s.gpr[kRbx] = kUserData;
  s.gpr[kRcx] = kRounds;
  return s;
}

struct Smap {
  explicit Smap(const TcgOptions& options = {}) : g(options), s(with_smap(g)) {}
  void run(const std::function<void(Assembler&)>& round,
           const std::function<void(Assembler&)>& more) {
    g.assemble(SmallGuest::kCodeAt, [&](Assembler& a) {
      const auto top = a.newLabel();
      a.bind(top);
      round(a);
      a.dec(ecx);
      a.jnz(top);
      finish(a);
      more(a);
    });
    g.run(s);
    s = g.state();
  }
  SmallGuest g;
  CpuState s;
};

const TcgOptions kBoth[] = {TcgOptions{}, plain()};

TEST(InlineSystem, StacLetsTheKernelInAndClacKeepsItOut) {
  for (const TcgOptions& options : kBoth) {
    Smap t(options);
    t.run(
        [](Assembler& a) {
          a.mov(rax, ptr(rbx));  // faults
          a.stac();
          a.inc(qword_ptr(rbx));
          a.stac();
          a.inc(qword_ptr(rbx));
          a.clac();
          a.mov(rax, ptr(rbx));  // faults
          a.clac();
          a.mov(rax, ptr(rbx));  // faults
        },
        [](Assembler&) {});
    EXPECT_EQ(t.s.gpr[kR12], 3 * kRounds);
    EXPECT_EQ(load_le<u64>(t.g.ram() + kUserData), 2 * kRounds);
    EXPECT_EQ(t.s.rflags & kFlagAc, 0u);
  }
}

// Functions that return in another mode than they were called in.
TEST(InlineSystem, ReturnsFindTheModeTheyReturnIn) {
  for (const TcgOptions& options : kBoth) {
    Smap t(options);
    asmjit::Label open, close, balanced;
    t.run(
        [&](Assembler& a) {
          open = a.newLabel();
          close = a.newLabel();
          balanced = a.newLabel();
          a.call(open);
          a.inc(qword_ptr(rbx));
          a.call(balanced);
          a.inc(qword_ptr(rbx));
          a.call(close);
          a.mov(rax, ptr(rbx));  // faults
          a.call(balanced);
          a.mov(rax, ptr(rbx));  // faults
        },
        [&](Assembler& a) {
          a.bind(open);
          a.stac();
          a.ret();
          a.bind(close);
          a.clac();
          a.ret();
          a.bind(balanced);
          a.pushfq();
          a.stac();
          a.inc(qword_ptr(rbx));
          a.clac();
          a.popfq();
          a.ret();
        });
    EXPECT_EQ(t.s.gpr[kR12], 2 * kRounds);
    EXPECT_EQ(load_le<u64>(t.g.ram() + kUserData), 4 * kRounds);
  }
}

TEST(InlineSystem, ClacWithoutSmapChangesAFlagOnly) {
  for (const TcgOptions& options : kBoth) {
    Smap t(options);
    t.s.cr4 &= ~kCr4Smap;
    t.run(
        [](Assembler& a) {
          a.stac();
          a.pushfq();
          a.pop(rdx);
          a.clac();
          a.inc(qword_ptr(rbx));
        },
        [](Assembler&) {});
    EXPECT_EQ(t.s.gpr[kR12], 0u);
    EXPECT_NE(t.s.gpr[kRdx] & kFlagAc, 0u);
    EXPECT_EQ(t.s.rflags & kFlagAc, 0u);
    EXPECT_EQ(load_le<u64>(t.g.ram() + kUserData), kRounds);
  }
}

// Ring 3 calls the kernel kRounds times through a function; the kernel adds up flags and selectors,
// and in the middle moves LSTAR to a second entry, which drops a return address before SYSRET.
struct Syscalls {
  explicit Syscalls(const TcgOptions& options) : g(options), s(g.long_mode()) {
    s.segments[kCs] = {0, 0xffffffff, 0x33, 0xa0fb};
    s.segments[kSs] = {0, 0xffffffff, 0x2b, 0xc0f3};
    s.star = (u64{0x23} << 48) | (u64{8} << 32);
    s.lstar = kKernel;
    s.sfmask = 0x257fd5;
    s.gpr[kRcx] = kRounds;
    entry(kKernel, 1, [](Assembler& a) {
      const auto same = a.newLabel();
      a.cmp(r13d, static_cast<int>(kRounds / 2));
      a.jne(same);
      a.mov(r14, rcx);
      a.mov(ecx, kMsrLstar);
      a.xor_(edx, edx);
      a.mov(eax, static_cast<u32>(kOtherKernel));
      a.wrmsr();
      a.mov(rcx, r14);
      a.bind(same);
    });
    entry(kOtherKernel, 1000, [](Assembler& a) {
      const auto inner = a.newLabel();
      a.call(inner);
      a.bind(inner);
      a.add(rsp, 8);
    });
  }
  void entry(u64 at, u32 weight, const std::function<void(Assembler&)>& more) {
    g.assemble(at, [&](Assembler& a) {
      const auto body = a.newLabel(), on = a.newLabel();
      a.xchg(rsp, r15);
      a.pushfq();
      a.pop(rax);
      a.or_(rbp, rax);  // flags in the kernel
      a.or_(r12, r11);  // flags of ring 3
      a.mov(eax, cs);
      a.add(rsi, rax);
      a.call(body);
      a.jmp(on);
      a.bind(body);
      a.add(rbx, weight);
      a.inc(r13);
      a.ret();
      a.bind(on);
      more(a);
      const auto user = a.newLabel();
      a.cmp(r13d, static_cast<int>(kRounds));
      a.jne(user);
      finish(a);
      a.bind(user);
      a.xchg(rsp, r15);
      a.db(0x48);
      a.sysret();
    });
  }
  CpuState run() {
    s.gpr[kR15] = 0x80000;
    g.assemble(SmallGuest::kCodeAt, [](Assembler& a) {
      const auto top = a.newLabel(), call = a.newLabel(), wrong = a.newLabel();
      a.bind(top);
      a.mov(eax, 0x7fffffff);
      a.add(eax, 1);  // SF, OF, AF, PF
      a.stc();
      a.call(call);
      a.jno(wrong);
      a.jnc(wrong);
      a.mov(eax, cs);
      a.add(rdi, rax);
      a.jmp(top);
      a.bind(call);
      a.syscall();
      a.ret();
      a.bind(wrong);
      a.ud2();
    });
    g.run(s);
    return g.state();
  }
  SmallGuest g;
  CpuState s;
};

TEST(InlineSystem, SyscallAndSysretKeepFlagsAndLevels) {
  CpuState ends[2];
  for (unsigned i = 0; i < 2; ++i) {
    Syscalls t(kBoth[i]);
    const CpuState& e = ends[i] = t.run();
    EXPECT_EQ(e.gpr[kRbx], kRounds / 2 + 1000 * (kRounds / 2));
    EXPECT_EQ(e.gpr[kRsi], 8 * kRounds);
    EXPECT_EQ(e.gpr[kRdi], 0x33 * (kRounds - 1));
    EXPECT_EQ(e.gpr[kRbp] & 0x257fd5, 0u);
    EXPECT_EQ(e.gpr[kR12] & kFlagsArithmetic, 0x895u);
    if (i == 0) {
      EXPECT_GT(counter(t.g, "fast_syscalls"), kRounds / 2);
    } else {
      EXPECT_EQ(counter(t.g, "fast_syscalls"), 0u);
    }
  }
  for (unsigned r = 0; r < 16; ++r) EXPECT_EQ(ends[0].gpr[r], ends[1].gpr[r]) << r;
  EXPECT_EQ(ends[0].rflags, ends[1].rflags);
}

TEST(InlineSystem, SegmentBasesAreReadAndWritten) {
  SmallGuest g;
  CpuState s = g.long_mode();
  s.cr4 |= kCr4Fsgsbase;
  g.set_gate(kVectorGp, kFaultHandler);
  g.assemble(kFaultHandler, [](Assembler& a) {
    a.inc(r12);
    a.add(rsp, 8);
    a.add(qword_ptr(rsp), 5);
    a.iretq();
  });
  g.assemble(SmallGuest::kCodeAt, [](Assembler& a) {
    a.mov(r9, 0x1234567890);
    a.wrfsbase(r9);
    a.mov(rcx, 0xffff800000000000);
    a.wrgsbase(rcx);
    a.rdfsbase(rsi);
    a.rdgsbase(rdi);
    a.rdfsbase(r10d);
    a.mov(rax, 0x800000000000);
    a.wrfsbase(rax);  // not canonical
    a.mov(rax, 0xffff7fffffffffff);
    a.wrgsbase(rax);
    a.mov(rax, -1);
    a.wrgsbase(eax);
    a.rdgsbase(rbx);
    finish(a);
  });
  g.run(s);
  s = g.state();
  EXPECT_EQ(s.gpr[kRsi], 0x1234567890u);
  EXPECT_EQ(s.gpr[kRdi], 0xffff800000000000u);
  EXPECT_EQ(s.gpr[kR10], 0x34567890u);
  EXPECT_EQ(s.gpr[kR12], 2u);
  EXPECT_EQ(s.gpr[kRbx], 0xffffffffu);
  EXPECT_EQ(s.segments[kFs].base, 0x1234567890u);
}

// Every form with counts around what a page holds; the second time the TLB knows the pages.
TEST(InlineSystem, StringsInAPageAreTheHosts) {
  for (const std::vector<u8>& form : {std::vector<u8>{0xf3, 0xa4},
                                      {0xf3, 0x66, 0xa5},
                                      {0xf3, 0xa5},
                                      {0xf3, 0x48, 0xa5},
                                      {0xf3, 0xaa},
                                      {0xf3, 0x66, 0xab},
                                      {0xf3, 0xab},
                                      {0xf3, 0x48, 0xab},
                                      {0xf2, 0xa4}}) {
    for (const u64 count : {0, 3, 64, 512, 4096}) {
      for (const u64 offset : {u64{0}, u64{0xfff}}) {
        CpuState ends[2];
        std::vector<u8> memory[2];
        for (unsigned i = 0; i < 2; ++i) {
          SmallGuest g(kBoth[i]);
          for (u64 n = 0; n < 0x20000; ++n)
            g.ram()[kUserData + n] = static_cast<u8>(n * 7 + n / 251);
          CpuState s = g.long_mode();
          s.gpr[kRdx] = count;
          g.assemble(SmallGuest::kCodeAt, [&](Assembler& a) {
            a.mov(ebp, 3);
            const auto top = a.newLabel();
            a.bind(top);
            a.mov(rcx, rdx);
            a.mov(rsi, kUserData + offset);
            a.mov(rdi, kUserData + 0x10000 + offset);
            a.mov(rax, 0x0123456789abcdef);
            a.stc();
            for (u8 b : form) a.db(b);
            a.adc(rbx, 0);
            a.dec(ebp);
            a.jnz(top);
            finish(a);
          });
          g.run(s);
          ends[i] = g.state();
          memory[i].assign(g.ram() + kUserData, g.ram() + kUserData + 0x20000);
          if (i == 0 && count == 64 && offset == 0) {
            EXPECT_GT(counter(g, "fast_strings"), 0u);
          }
        }
        for (unsigned r = 0; r < 16; ++r) ASSERT_EQ(ends[0].gpr[r], ends[1].gpr[r]) << r;
        ASSERT_EQ(ends[0].gpr[kRbx], 3u);
        ASSERT_EQ(memory[0], memory[1]) << count << " " << offset;
      }
    }
  }
}

// The same image in memory and the same registers afterwards; x87 instruction pointers included.
TEST(InlineSystem, XsaveAndXrstorByTheHostAreTheSame) {
  const bool compaction = __builtin_cpu_supports("xsavec") != 0;
  for (const u64 at : {kArea, kArea + 0xf40}) {
    for (const u32 mask : {7u, 3u, 1u, 6u}) {
      CpuState ends[2];
      std::vector<u8> memory[2];
      for (unsigned i = 0; i < 2; ++i) {
        SmallGuest g(kBoth[i]);
        CpuState s = g.long_mode();
        s.cr4 |= kCr4Osxsave;
        s.xcr0 = 7;
        for (u64 n = 0; n < 0x400; ++n) g.ram()[at + n] = static_cast<u8>(n);
        for (u64 n = 512; n < 576; ++n) g.ram()[at + n] = 0;
        g.assemble(SmallGuest::kCodeAt, [&](Assembler& a) {
          a.mov(rbx, at);
          a.mov(eax, 0x3f800000);
          a.vmovd(xmm1, eax);
          a.vpbroadcastd(ymm3, xmm1);
          a.fld1();
          a.fldpi();
          a.faddp();
          a.mov(eax, mask);
          a.xor_(edx, edx);
          a.xsave64(ptr(rbx));
          if (compaction) a.xsavec64(ptr(rbx, 0x1000));
          a.vzeroall();
          a.fninit();
          a.fld1();
          a.xrstor64(ptr(rbx));
          a.vmovd(esi, xmm3);
          if (compaction) {
            a.vzeroall();
            a.xrstor64(ptr(rbx, 0x1000));
          }
          finish(a);
        });
        g.run(s);
        ends[i] = g.state();
        memory[i].assign(g.ram() + at, g.ram() + at + 0x1400);
      }
      EXPECT_EQ(memory[0], memory[1]) << mask;
      for (unsigned r = 0; r < 16; ++r) ASSERT_EQ(ends[0].gpr[r], ends[1].gpr[r]) << r;
      EXPECT_EQ(0, std::memcmp(ends[0].xsave + 160, ends[1].xsave + 160, 256)) << mask;
    }
  }
}

// What is not a valid image faults, and nothing of the host does.
TEST(InlineSystem, XrstorOfNonsenseFaults) {
  for (const auto& [offset, value] :
       {std::pair<u64, u64>{520, 1}, {520, ~u64{0}}, {512, u64{1} << 62}, {24, 0xffffffff}}) {
    for (const TcgOptions& options : kBoth) {
      SmallGuest g(options);
      CpuState s = g.long_mode();
      s.cr4 |= kCr4Osxsave;
      s.xcr0 = 7;
      g.set_gate(kVectorGp, kFaultHandler);
      g.assemble(kFaultHandler, [](Assembler& a) {
        a.mov(eax, 77);
        finish(a);
      });
      store_le(g.ram() + kArea + offset, value);
      g.assemble(SmallGuest::kCodeAt, [](Assembler& a) {
        a.mov(rbx, kArea);
        a.mov(eax, 7);
        a.xor_(edx, edx);
        a.xrstor64(ptr(rbx));
        a.mov(eax, 1);
        finish(a);
      });
      g.run(s);
      EXPECT_EQ(g.exit_value, 77u) << offset;
    }
  }
}

}  // namespace
}  // namespace emu
