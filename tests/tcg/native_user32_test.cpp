// SPDX-License-Identifier: Apache-2.0
// 32-bit ring-3 code in a process of its own against the same code translated, under a 32-bit
// kernel with PAE and under a 64-bit one: what is in memory and in registers must end alike.
// Source: Intel SDM vol. 3 3.4 (segments), 4.4 (PAE paging), 6.12, 7.7.
#include <cstring>

#include "tcg/host_thread.h"
#include "tcg/small_guest.h"
#include "tcg/user/user_scan.h"
#include "tcg/user/user_segments.h"

namespace emu {
namespace {

using namespace asmjit::x86;

constexpr u32 kUserAt = 0x200000, kUserStack = 0x2f0000, kThreadAt = 0x240000;
constexpr u32 kSelectorCodeAt = 0x210000;  // a page apart: it is translated
constexpr u32 kHandlersAt = 0x30000, kLogAt = 0x50000, kTssAt = 0x41000, kGdtAt = 0x40000;
constexpr u32 kPage = 0x80000000, kPageEntryAt = 0x108000, kFrame = 0x300000;
constexpr u32 kTables = SmallGuest::kPageTablesAt;
constexpr unsigned kCallVector = 0x80;

enum class Kernel { k32, k64 };

// A kernel with one system call, INT 80h: EAX 0 ends the run with EBX, others add 7 to EAX. Its
// exception handlers note what happened and go on at EBP; #PF maps the page instead.
class User32Guest {
 public:
  User32Guest(Kernel kernel, NativeUser when)
      : g(options(when)), s(g.long_mode()), kernel_(kernel) {
    s.cr4 |= kCr4Osxsave;
    s.xcr0 = host_vector_components();
    segments();
    if (kernel == Kernel::k32) {
      tables32();
    } else {
      tables64();
    }
    s.rip = kUserAt;
    s.gpr[kRsp] = kUserStack;
    s.rflags |= kFlagIf;
    assemble(kHandlersAt, kernel == Kernel::k64, [](Assembler& a) {
      const auto others = a.newLabel();
      a.test(eax, eax);
      a.jnz(others);
      a.mov(eax, ebx);
      a.out(0xf4, eax);
      a.hlt();
      a.bind(others);
      a.add(eax, 7);
      a.inc(dword_ptr(kLogAt + 8));
      end(a);
    });
    gate(kCallVector, kHandlersAt, 0xee);
    for (const unsigned v : {0u, 3u, 4u, 5u, 6u, 13u, 14u}) on_exception(v);
  }

  static TcgOptions options(NativeUser when) {
    TcgOptions o;
    o.native_user = when;
    return o;
  }
  void assemble(u64 at, bool code64, const std::function<void(Assembler&)>& body) {
    asmjit::CodeHolder code;
    code.init(asmjit::Environment(code64 ? asmjit::Arch::kX64 : asmjit::Arch::kX86), at);
    Assembler a(&code);
    body(a);
    code.flatten();
    code.resolveUnresolvedLinks();
    code.relocateToBase(at);
    std::vector<u8> bytes(code.codeSize());
    code.copyFlattenedData(bytes.data(), bytes.size());
    g.load(at, bytes);
  }
  void user(const std::function<void(Assembler&)>& body, u32 at = kUserAt) {
    assemble(at, false, body);
  }
  [[nodiscard]] u32 logged(unsigned i, unsigned what) {
    return load_le<u32>(g.ram() + kLogAt + 16 * (i + 1) + 4 * what);
  }

  SmallGuest g;
  CpuState s;

 private:
  // Selectors as Linux has them.
  void segments() {
    const bool wide = kernel_ == Kernel::k64;
    u64 gdt[16] = {0, wide ? 0x00af9b000000ffffu : 0x00cf9b000000ffffu, 0x00cf93000000ffffu};
    const unsigned code = wide ? 4 : 14, data = wide ? 5 : 15, thread = wide ? 12 : 6;
    gdt[code] = 0x00cffb000000ffff;
    gdt[data] = 0x00cff3000000ffff;
    gdt[thread] = 0x00cff3000000ffff | (u64{kThreadAt & 0xffffff} << 16);
    std::memcpy(g.ram() + kGdtAt, gdt, sizeof gdt);
    const auto selector = [](unsigned i) { return static_cast<u16>(i * 8 + 3); };
    s.gdtr = {kGdtAt, sizeof gdt - 1, {}};
    s.segments[kCs] = {0, 0xffffffff, selector(code), 0xc0fb};
    for (unsigned i : {kSs, kDs, kEs}) s.segments[i] = {0, 0xffffffff, selector(data), 0xc0f3};
    s.segments[kFs] = {0, 0, 0, kSegUnusable};
    s.segments[kGs] = {kThreadAt, 0xffffffff, selector(thread), 0xc0f3};
    s.tr = {kTssAt, 0x67, 0, 0x008b};
    if (wide) {
      store_le(g.ram() + kTssAt + 4, u64{SmallGuest::kStackTop});
    } else {
      store_le(g.ram() + kTssAt + 4, u32{SmallGuest::kStackTop});
      store_le(g.ram() + kTssAt + 8, u32{0x10});
    }
  }
  void tables32() {
    s.efer = kEferNxe;
    u8* t = g.ram() + kTables;
    std::memset(t, 0, kPageBytes);
    for (u64 i = 0; i < 3; ++i) {
      s.pdpte[i] = (i == 2 ? 0x107000 : kTables + 0x2000 + i * 0x1000) | 1;
      store_le(t + 8 * i, s.pdpte[i]);
    }
    store_le(g.ram() + 0x107000, u64{kPageEntryAt} | 7);
  }
  void tables64() {
    u8* t = g.ram() + kTables;
    store_le(t + 0x1010, u64{0x107000} | 7);
    store_le(g.ram() + 0x107000, u64{kPageEntryAt} | 7);
  }
  void gate(unsigned vector, u64 handler, u64 type) {
    if (kernel_ == Kernel::k64) {
      g.set_gate(vector, handler);
      g.ram()[SmallGuest::kIdtAt + 16 * vector + 5] = static_cast<u8>(type);
    } else {
      store_le(g.ram() + SmallGuest::kIdtAt + 8 * vector,
               (handler & 0xffff) | (u64{8} << 16) | (type << 40) | ((handler >> 16) << 48));
    }
  }
  static void end(Assembler& a) {
    if (a.is64Bit()) {
      a.iretq();
    } else {
      a.iretd();
    }
  }
  void on_exception(unsigned vector) {
    const u64 at = kHandlersAt + 0x100 + 0x100 * vector;
    gate(vector, at, vector == 3 || vector == 4 ? 0xee : 0x8e);
    assemble(at, kernel_ == Kernel::k64, [&](Assembler& a) {
      const int w = a.is64Bit() ? 8 : 4;
      const Gp sp = a.zsp();
      const bool has_error = vector == 13 || vector == 14;
      if (!has_error) a.push(0);
      a.push(a.zax());
      a.push(a.zdx());
      a.mov(edx, dword_ptr(kLogAt));
      a.inc(dword_ptr(kLogAt));
      a.shl(edx, 4);
      a.mov(dword_ptr(edx, kLogAt + 16), vector);
      a.mov(eax, dword_ptr(sp, 2 * w));
      a.mov(dword_ptr(edx, kLogAt + 20), eax);
      a.mov(a.zax(), cr2);
      a.mov(dword_ptr(edx, kLogAt + 24), eax);
      a.mov(eax, dword_ptr(sp, 3 * w));
      a.mov(dword_ptr(edx, kLogAt + 28), eax);
      if (vector == 14) {
        a.mov(dword_ptr(kPageEntryAt), kFrame | 7);
      } else {
        a.mov(dword_ptr(sp, 3 * w), ebp);
      }
      a.pop(a.zdx());
      a.pop(a.zax());
      a.add(sp, w);
      end(a);
    });
  }

  Kernel kernel_;
};

void call_kernel(Assembler& a) {
  a.mov(eax, 5);
  a.int_(kCallVector);
}

void exit_with(Assembler& a, const Gp& value) {
  a.mov(ebx, value);
  a.xor_(eax, eax);
  a.int_(kCallVector);
}

u64 counter(SmallGuest& g, const std::string& name) {
  const std::string text = "\n" + g.cpu().counters();
  const auto at = text.find("\n" + name + " ");
  return at == std::string::npos ? 0 : std::stoull(text.substr(at + name.size() + 2));
}

class NativeUser32 : public testing::TestWithParam<Kernel> {
 protected:
  // Runs what `build` makes, translated and natively; what it ends in must be the same.
  void compare(const std::function<void(User32Guest&)>& build) {
    std::vector<u8> ram[2];
    u32 exit_values[2];
    u64 gpr[2][8];
    for (unsigned i = 0; i < 2; ++i) {
      User32Guest u(GetParam(), i == 0 ? NativeUser::kOff : NativeUser::kAlways);
      build(u);
      const StopReason reason = u.g.run(u.s);
      EXPECT_EQ(reason.kind, StopReason::Kind::kKicked);
      if (i == 1 && u.g.cpu().counters().find("native_unavailable") != std::string::npos) {
        GTEST_SKIP() << "this host cannot: " << u.g.cpu().counters();
      }
      EXPECT_EQ(counter(u.g, "native_entries") > counter(u.g, "native_refused_pages"), i == 1)
          << u.g.cpu().counters();
      exit_values[i] = u.g.exit_value;
      ram[i].assign(u.g.ram(), u.g.ram() + SmallGuest::kRamBytes);
      const CpuState end = u.g.state();
      std::memcpy(gpr[i], end.gpr, sizeof gpr[i]);
    }
    EXPECT_EQ(exit_values[0], exit_values[1]);
    EXPECT_NE(exit_values[0], ~0u);
    for (unsigned i = 0; i < 8; ++i) EXPECT_EQ(gpr[0][i], gpr[1][i]) << i;
    for (u64 i = 0; i < SmallGuest::kRamBytes; i += 8) {
      const u64 a = load_le<u64>(ram[0].data() + i), b = load_le<u64>(ram[1].data() + i);
      ASSERT_EQ(a, b) << fmt::format("RAM at {:x}: {:x} translated, {:x} natively", i, a, b);
    }
  }
};

TEST_P(NativeUser32, ComputesTheSameAcrossSystemCalls) {
  compare([](User32Guest& u) {
    u.user([](Assembler& a) {
      const auto loop = a.newLabel();
      a.mov(ebx, 200);
      a.xor_(edi, edi);
      a.mov(esi, 0x12345678);
      a.fldpi();
      a.bind(loop);
      a.imul(esi, esi, 77);
      a.adc(esi, ebx);
      Mem slot = dword_ptr(ebx, 0x100);
      slot.setSegment(gs);
      a.mov(slot, esi);
      a.add(edi, slot);
      a.vmovd(xmm1, esi);
      a.vpaddd(ymm2, ymm2, ymm1);
      a.fadd(st0, st0);
      call_kernel(a);
      a.add(edi, eax);
      a.push(ds);
      a.pop(es);
      a.push(edi);  // over the selector, which is the host's
      a.mov(edi, kUserStack - 0x8000);
      a.stosb();
      a.pop(edi);
      a.pusha();
      a.daa();
      a.popa();
      a.dec(ebx);
      a.jnz(loop);
      a.vmovdqu(ymmword_ptr(esp, -64), ymm2);
      a.fstp(qword_ptr(esp, -104));
      exit_with(a, edi);
    });
  });
}

TEST_P(NativeUser32, PagesAndExceptions) {
  compare([](User32Guest& u) {
    u.user([](Assembler& a) {
      a.mov(esi, kPage);
      a.mov(ebx, dword_ptr(esi));  // a page fault, then A
      a.mov(ecx, dword_ptr(kPageEntryAt));
      a.mov(dword_ptr(esi, 4), 77);  // D
      a.mov(edx, dword_ptr(kPageEntryAt));
      a.mov(dword_ptr(kLogAt + 0xff0), ecx);
      a.mov(dword_ptr(kLogAt + 0xff4), edx);
      const auto resume_after = [&](const std::function<void()>& body) {
        const auto next = a.newLabel();
        a.lea(ebp, ptr(next));
        body();
        a.bind(next);
      };
      resume_after([&] {
        a.xor_(ecx, ecx);
        a.div(ecx);
      });
      resume_after([&] { a.ud2(); });
      resume_after([&] { a.int3(); });
      resume_after([&] {
        a.mov(al, 0x7f);
        a.add(al, 1);
        a.into();
        a.ud2();
      });
      resume_after([&] {
        a.mov(dword_ptr(esp, -16), 1);
        a.mov(dword_ptr(esp, -12), 5);
        a.mov(eax, 6);
        a.bound(eax, ptr(esp, -16));
      });
      resume_after([&] { a.hlt(); });
      resume_after([&] { a.in(al, 0x10); });
      resume_after([&] {
        a.xor_(eax, eax);
        Mem null = dword_ptr(eax);
        null.setSegment(fs);
        a.mov(eax, null);  // a null selector: #GP
      });
      a.mov(eax, 0);
      a.cpuid();
      a.mov(edi, ebx);
      exit_with(a, edi);
    });
  });
}

// Selectors that code reads and loads are the guest's.
TEST_P(NativeUser32, Selectors) {
  compare([](User32Guest& u) {
    u.user(
        [](Assembler& a) {
          for (const SReg& r : {cs, ss, ds, es, fs, gs}) {
            a.shl(edi, 5);
            a.mov(eax, r);
            a.xor_(edi, eax);
          }
          a.mov(eax, gs);
          a.mov(fs, eax);
          a.mov(gs, eax);
          a.ret();
        },
        kSelectorCodeAt);
    u.user([](Assembler& a) {
      const auto loop = a.newLabel();
      a.mov(ecx, 20);
      a.bind(loop);
      a.mov(ebx, kSelectorCodeAt);
      a.call(ebx);
      Mem slot = dword_ptr(ecx, 0x200);
      slot.setSegment(fs);
      a.mov(slot, edi);
      call_kernel(a);
      a.dec(ecx);
      a.jnz(loop);
      exit_with(a, edi);
    });
  });
}

INSTANTIATE_TEST_SUITE_P(Kernels, NativeUser32, testing::Values(Kernel::k32, Kernel::k64),
                         [](const auto& i) {
                           return std::string(i.param == Kernel::k32 ? "Pae" : "LongMode");
                         });

// The host has 64-bit code where this guest has thread-local storage.
TEST(NativeUser32Strays, ToCodeOfTheHost) {
  for (const NativeUser when : {NativeUser::kOff, NativeUser::kAlways}) {
    User32Guest u(Kernel::k32, when);
    u.user([](Assembler& a) {
      const auto next = a.newLabel();
      a.lea(ebp, ptr(next));
      a.db(0xea);  // JMP 33h:next
      a.embedLabel(next, 4);
      a.dw(0x33);
      a.bind(next);
      a.mov(ebx, 5);
      exit_with(a, ebx);
    });
    (void)u.g.run(u.s);
    EXPECT_EQ(u.g.exit_value, 5u);
    EXPECT_EQ(u.logged(0, 0), 13u);
    EXPECT_EQ(u.logged(0, 1), 0x30u);
  }
}

TEST(UserScan, FindsSegmentMovesIn32BitCode) {
  std::vector<u8> code(256, 0x90);
  const auto at = [&](std::initializer_list<u8> bytes) {
    std::vector<u8> c = code;
    std::copy(bytes.begin(), bytes.end(), c.begin() + 128);
    return shows_host(c, 64, 192, {true, false});
  };
  EXPECT_FALSE(at({0x90}));
  EXPECT_TRUE(at({0x8e, 0xe8}));                           // mov gs, eax
  EXPECT_TRUE(at({0x65, 0x8c, 0x18}));                     // mov gs:[eax], ds
  EXPECT_TRUE(at({0x0f, 0xa1}));                           // pop fs
  EXPECT_TRUE(at({0x0f, 0x34}));                           // sysenter
  EXPECT_TRUE(at({0x0f, 0x05}));                           // syscall
  EXPECT_TRUE(at({0x0f, 0xb5, 0x08}));                     // lgs ecx, [eax]
  EXPECT_FALSE(at({0x0f, 0x8e, 0xe8, 0, 0, 0}));           // jle
  EXPECT_FALSE(at({0x89, 0x86, 0x8e, 0xe8, 0x00, 0x00}));  // mov [esi + e88eh], eax
  EXPECT_FALSE(at({0xb8, 0x0f, 0x34, 0x8c, 0xd8}));        // mov eax, d88c340fh
  EXPECT_FALSE(shows_host(std::vector<u8>{0x90, 0x8e, 0xe8, 0x90, 0x90}, 0, 5, {false, false}));
}

TEST(UserSegments, OnlyWhatTheHostHas) {
  User32Guest u(Kernel::k32, NativeUser::kOff);
  UserSegments out;
  EXPECT_TRUE(user_segments_of(u.s, out));
  EXPECT_EQ(out.cs, kUserCode32);
  EXPECT_EQ(out.gs, kUserTls[1]);
  EXPECT_EQ(out.gs_base, kThreadAt);
  const auto without = [&](SegmentIndex i, auto change) {
    CpuState s = u.s;
    change(s.segments[i]);
    return !user_segments_of(s, out);
  };
  EXPECT_TRUE(without(kCs, [](Segment& g) { g.base = 16; }));
  EXPECT_TRUE(without(kSs, [](Segment& g) { g.limit = 0xffff; }));
  EXPECT_TRUE(without(kDs, [](Segment& g) { g.attributes &= static_cast<u16>(~kSegWritable); }));
  EXPECT_TRUE(without(kGs, [](Segment& g) { g.limit = 0xfff; }));
  EXPECT_FALSE(without(kGs, [](Segment& g) { g.selector = 0x3b; }));
  User32Guest wide(Kernel::k64, NativeUser::kOff);
  EXPECT_TRUE(user_segments_of(wide.s, out));
  EXPECT_EQ(out.gs, wide.s.segments[kGs].selector);
  wide.s.segments[kGs].selector = 0x3b;
  EXPECT_FALSE(user_segments_of(wide.s, out));
}

// A row of like instructions, read out of step, looks like others all the way.
TEST(UserScan, ReadsRowsOfLikeInstructions) {
  std::vector<u8> code(100, 0x90);
  for (u8 i = 0; i < 24; ++i) {
    const u8 unit[] = {0x80, 0x79, i, 0x00, 0x0f, 0x84, 0xff, 0x04, 0x00, 0x00};  // cmp, je
    code.insert(code.end(), unit, unit + sizeof unit);
  }
  code.insert(code.end(), 100, 0x90);
  EXPECT_FALSE(shows_host(code, 0, code.size(), {true, false}));
  EXPECT_FALSE(shows_host(code, 0, code.size(), {false, false}));
}

}  // namespace
}  // namespace emu
