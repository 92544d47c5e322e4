// SPDX-License-Identifier: Apache-2.0
// Accesses that share one TLB check, where sharing must not show: ranges that cross pages, fault,
// hit devices, code, or pages that may only be read. Each guest runs with sharing and without; both
// must end alike, memory included, and as the test expects.
#include "tcg/small_guest.h"

namespace emu {
namespace {

using namespace asmjit::x86;

constexpr u64 kHandler = 0x30000;
constexpr u64 kResults = 0x70000;  // the handler: error code, RIP, RFLAGS, RAX, CR2
constexpr u64 kMapped = 0x600000;  // two linear pages with 4 KiB entries
constexpr u64 kTable = SmallGuest::kPageTablesAt + 0x5000;
constexpr u64 kPresent = 7, kReadOnly = 5;

struct Outcome {
  CpuState state;
  std::vector<u8> memory;
  u32 exit_value = 0;
  unsigned mmio_reads = 0, mmio_writes = 0;
  u64 registers[8] = {};
  [[nodiscard]] u64 result(unsigned n) const { return load_le<u64>(&memory[kResults + 8 * n]); }
};

using Body = std::function<void(Assembler&)>;
using Setup = std::function<void(SmallGuest&, CpuState&)>;

void map_page(SmallGuest& g, unsigned page, u64 entry) {
  store_le(g.ram() + kTable + 8 * page, entry);
}

void exit_with(Assembler& a, u32 value) {
  a.mov(eax, value);
  a.out(0xf4, eax);
  a.hlt();
}

Outcome run_once(bool share, const Body& body, const Setup& setup) {
  TcgOptions options;
  options.share_checks = share;
  SmallGuest g(options);
  CpuState s = g.long_mode();
  store_le(g.ram() + SmallGuest::kPageTablesAt + 0x2000 + 8 * 3, kTable | 7);
  map_page(g, 0, 0x51000 | kPresent);
  map_page(g, 1, 0x50000 | kPresent);
  s.gpr[kRbx] = kMapped + 0x100;
  g.set_gate(kVectorPf, kHandler);
  g.assemble(kHandler, [](Assembler& a) {
    a.mov(qword_ptr(kResults + 24), rax);
    for (u32 i = 0; i < 3; ++i) a.pop(qword_ptr(kResults + 8 * (i == 2 ? 5 : i)));
    a.pop(qword_ptr(kResults + 16));
    a.mov(rax, cr2);
    a.mov(qword_ptr(kResults + 32), rax);
    exit_with(a, 14);
  });
  if (setup) setup(g, s);
  g.assemble(SmallGuest::kCodeAt, body);
  g.run(s);
  Outcome o;
  o.state = g.state();
  o.memory.assign(g.ram(), g.ram() + SmallGuest::kRamBytes);
  o.exit_value = g.exit_value;
  o.mmio_reads = g.mmio_reads;
  o.mmio_writes = g.mmio_writes;
  std::copy_n(g.registers, 8, o.registers);
  return o;
}

Outcome run_both_ways(const Body& body, const Setup& setup = {}) {
  const Outcome alone = run_once(false, body, setup);
  Outcome shared = run_once(true, body, setup);
  for (unsigned r = 0; r < 16; ++r) EXPECT_EQ(shared.state.gpr[r], alone.state.gpr[r]) << r;
  EXPECT_EQ(shared.state.rflags, alone.state.rflags);
  EXPECT_EQ(shared.state.rip, alone.state.rip);
  EXPECT_EQ(shared.exit_value, alone.exit_value);
  EXPECT_EQ(shared.mmio_reads, alone.mmio_reads);
  EXPECT_EQ(shared.mmio_writes, alone.mmio_writes);
  EXPECT_TRUE(shared.memory == alone.memory);
  return shared;
}

// `body` three times: the second and third time through links.
Body three_times(const Body& body) {
  return [body](Assembler& a) {
    const auto again = a.newLabel();
    a.mov(r12d, 3);
    a.bind(again);
    body(a);
    a.dec(r12d);
    a.jnz(again);
    exit_with(a, 1);
  };
}

TEST(SharedChecks, AFrameAcrossTwoPagesIsThere) {
  const Outcome o = run_both_ways(three_times([](Assembler& a) {
                                    a.push(rbp);
                                    a.mov(rbp, rsp);
                                    a.sub(rsp, 0x40);
                                    for (int i = 1; i < 8; ++i) {
                                      a.add(rax, 3);
                                      a.mov(qword_ptr(rbp, -8 * i), rax);
                                    }
                                    a.mov(rcx, qword_ptr(rsp, 0x20));
                                    a.add(rcx, qword_ptr(rbp, -16));
                                    a.leave();
                                  }),
                                  [](SmallGuest&, CpuState& s) { s.gpr[kRsp] = kMapped + 0x1018; });
  EXPECT_EQ(o.exit_value, 1u);
  EXPECT_EQ(load_le<u64>(&o.memory[0x50000]), 42u + 6);      // [rbp - 16], second page
  EXPECT_EQ(load_le<u64>(&o.memory[0x51fe0]), 42u + 3 * 6);  // [rbp - 48], first page
}

TEST(SharedChecks, AFaultInTheMiddleSeesExactlyWhatCameBefore) {
  u64 faults_at = 0;
  const Outcome o = run_both_ways(
      [&](Assembler& a) {
        a.mov(eax, 5);
        a.cmp(eax, 6);
        a.mov(qword_ptr(rbx, 0xe00), rax);
        a.mov(ecx, 7);
        a.mov(qword_ptr(rbx, 0xef0), rcx);
        a.mov(edx, 8);
        faults_at = SmallGuest::kCodeAt + a.offset();
        a.mov(qword_ptr(rbx, 0xf00), rdx);  // the page after
        a.mov(qword_ptr(rbx, 0xe08), rdx);
        exit_with(a, 1);
      },
      [](SmallGuest& g, CpuState&) { map_page(g, 1, 0); });
  EXPECT_EQ(o.exit_value, 14u);
  EXPECT_EQ(o.result(0), 2u);
  EXPECT_EQ(o.result(1), faults_at);
  EXPECT_EQ(o.result(2) & (kFlagCf | kFlagZf), kFlagCf);
  EXPECT_EQ(o.result(4), kMapped + 0x1000);
  EXPECT_EQ(load_le<u64>(&o.memory[0x51ff0]), 7u);
  EXPECT_EQ(load_le<u64>(&o.memory[0x51f08]), 0u);
}

TEST(SharedChecks, AStoreToAReadOnlyPageFaultsAfterTheLoads) {
  u64 faults_at = 0;
  const Outcome o = run_both_ways(
      [&](Assembler& a) {
        a.mov(rax, qword_ptr(rbx, 8));
        a.mov(rdx, qword_ptr(rbx, 16));
        faults_at = SmallGuest::kCodeAt + a.offset();
        a.add(qword_ptr(rbx, 24), rax);
        exit_with(a, 1);
      },
      [](SmallGuest& g, CpuState&) {
        map_page(g, 0, 0x51000 | kReadOnly);
        store_le(g.ram() + 0x51108, u64{11});
        store_le(g.ram() + 0x51110, u64{12});
      });
  EXPECT_EQ(o.exit_value, 14u);
  EXPECT_EQ(o.result(1), faults_at);
  EXPECT_EQ(o.result(3), 11u);
  EXPECT_EQ(o.state.gpr[kRdx], 12u);
}

// Loads alone must not mark a page dirty for a store that is not reached.
TEST(SharedChecks, ThePageIsDirtyOnlyOnceItIsWritten) {
  const Body body = [](Assembler& a) {
    a.mov(rax, qword_ptr(rbx, 8));
    a.mov(rdx, qword_ptr(rsi));  // not mapped
    a.mov(qword_ptr(rbx, 16), rax);
    exit_with(a, 1);
  };
  const Outcome o = run_both_ways(body, [](SmallGuest& g, CpuState& s) {
    map_page(g, 0, 0x51000 | kPresent);
    s.gpr[kRsi] = u64{1} << 40;
  });
  EXPECT_EQ(o.exit_value, 14u);
  EXPECT_EQ(load_le<u64>(&o.memory[kTable]) & 0x60, 0x20u);
}

TEST(SharedChecks, EveryDeviceAccessHappensOnce) {
  const Outcome o = run_both_ways(three_times([](Assembler& a) {
                                    a.mov(dword_ptr(rbx), r12d);
                                    a.mov(eax, dword_ptr(rbx, 8));
                                    a.inc(dword_ptr(rbx, 16));
                                    a.mov(dword_ptr(rbx, 24), eax);
                                  }),
                                  [](SmallGuest& g, CpuState& s) {
                                    s.gpr[kRbx] = SmallGuest::kMmioBase;
                                    g.registers[1] = 77;
                                  });
  EXPECT_EQ(o.mmio_reads, 6u);
  EXPECT_EQ(o.mmio_writes, 9u);
  EXPECT_EQ(o.registers[2], 3u);
  EXPECT_EQ(o.registers[3], 77u);
}

TEST(SharedChecks, AStoreIntoTheBlockItselfTakesEffect) {
  const Outcome o = run_both_ways([](Assembler& a) {
    const auto patched = a.newLabel(), loop = a.newLabel();
    a.xor_(ebp, ebp);
    a.mov(ecx, 5);
    a.bind(loop);
    a.lea(rdi, ptr(patched));
    a.mov(edx, dword_ptr(rdi, 1));
    a.mov(dword_ptr(rdi, 1), ecx);
    a.bind(patched);
    a.mov(eax, 0x1000);
    a.add(ebp, eax);
    a.dec(ecx);
    a.jnz(loop);
    exit_with(a, 1);
  });
  EXPECT_EQ(o.state.gpr[kRbp], 15u);
  EXPECT_EQ(o.state.gpr[kRdx], 2u);
}

TEST(SharedChecks, AWatchpointInTheMiddleTrapsAfterItsInstruction) {
  u64 after = 0;
  const Outcome o = run_both_ways(
      [&](Assembler& a) {
        a.mov(qword_ptr(rbx), rbx);
        a.mov(qword_ptr(rbx, 8), rbx);
        after = SmallGuest::kCodeAt + a.offset();
        a.mov(qword_ptr(rbx, 16), rbx);
        exit_with(a, 1);
      },
      [](SmallGuest& g, CpuState& s) {
        s.dr[0] = kMapped + 0x108;
        s.dr7 = 0x00090402;  // DR0: 8 bytes, writes
        g.set_gate(kVectorDb, 0x31000);
        g.assemble(0x31000, [](Assembler& a) {
          a.pop(rsi);
          exit_with(a, 3);
        });
      });
  EXPECT_EQ(o.exit_value, 3u);
  EXPECT_EQ(o.state.gpr[kRsi], after);
  EXPECT_EQ(load_le<u64>(&o.memory[0x51110]), 0u);
}

// The mapping changes between two uses of a base, by a system instruction in the same block or not.
TEST(SharedChecks, InvalidatedPagesAreLookedUpAgain) {
  const Outcome o = run_both_ways([](Assembler& a) {
    a.mov(rax, qword_ptr(rbx));
    a.mov(qword_ptr(rbx, 8), rbx);
    a.mov(rcx, 0x52000 | kPresent);
    a.mov(qword_ptr(kTable), rcx);
    a.invlpg(ptr(rbx));
    a.mov(qword_ptr(rbx, 16), rbx);
    a.cpuid();
    a.mov(ebx, kMapped + 0x100);
    a.mov(qword_ptr(rbx, 24), rbx);
    a.mov(qword_ptr(rbx, 32), rbx);
    exit_with(a, 1);
  });
  EXPECT_EQ(o.exit_value, 1u);
  EXPECT_NE(load_le<u64>(&o.memory[0x51108]), 0u);
  EXPECT_EQ(load_le<u64>(&o.memory[0x51110]), 0u);
  EXPECT_NE(load_le<u64>(&o.memory[0x52110]), 0u);
  EXPECT_NE(load_le<u64>(&o.memory[0x52118]), 0u);
}

TEST(SharedChecks, SegmentsWithABaseHaveGroupsOfTheirOwn) {
  const Outcome o = run_both_ways(
      [](Assembler& a) {
        Mem own = qword_ptr(rbx, 8);
        Mem other = own;
        other.setSegment(fs);
        Mem last = qword_ptr(rbx, 16);
        last.setSegment(fs);
        a.mov(own, 1);
        a.mov(other, 2);
        a.mov(last, 3);
        a.mov(qword_ptr(rbx, 16), 4);
        exit_with(a, 1);
      },
      [](SmallGuest&, CpuState& s) { s.segments[kFs].base = 0x800; });
  EXPECT_EQ(o.memory[0x51108], 1);
  EXPECT_EQ(o.memory[0x51908], 2);
  EXPECT_EQ(o.memory[0x51910], 3);
  EXPECT_EQ(o.memory[0x51110], 4);
}

// Accesses through a pointer that stay on a page, leave it, come back and are not aligned; page 0
// is where a remembered TLB entry that was never filled would lead.
TEST(PredictedPages, AreNeverTakenForOthers) {
  for (const bool predict : {false, true}) {
    TcgOptions options;
    options.predict_pages = predict;
    SmallGuest g(options);
    const CpuState s = g.long_mode();
    for (u64 i = 0; i < 0x8000; ++i) g.ram()[i] = static_cast<u8>(i * 7 + i / 256);
    const std::vector<u64> addresses = {1,      1,      3,      0x1001, 0x1fff, 0x2000, 0x2ffd,
                                        0x2fff, 0x3004, 0x3002, 0x0ffe, 0x0fff, 5,      0x5000};
    u64 expected = 0;
    for (std::size_t i = 0; i < addresses.size(); ++i) {
      store_le(g.ram() + 0x20000 + 8 * i, addresses[i]);
      expected = expected * 3 + load_le<u16>(g.ram() + addresses[i]);
      expected = expected * 3 + load_le<u64>(g.ram() + addresses[i]);
    }
    g.assemble(SmallGuest::kCodeAt, [&](Assembler& a) {
      const auto loop = a.newLabel();
      a.xor_(eax, eax);
      a.mov(esi, 0x20000);
      a.mov(ecx, static_cast<u32>(addresses.size()));
      a.bind(loop);
      a.lodsq();
      a.mov(rbx, rax);
      a.movzx(edx, word_ptr(rbx));
      a.lea(r8, ptr(r8, r8, 1));
      a.add(r8, rdx);
      a.mov(rdi, qword_ptr(rsi, -8));  // not known to be the same
      a.mov(rdx, qword_ptr(rdi));
      a.lea(r8, ptr(r8, r8, 1));
      a.add(r8, rdx);
      a.dec(ecx);
      a.jnz(loop);
      exit_with(a, 1);
    });
    g.run(s);
    EXPECT_EQ(g.exit_value, 1u);
    EXPECT_EQ(g.state().gpr[kR8], expected);
  }
}

// 32-bit code: offsets wrap at 4 GiB, in both directions.
TEST(SharedChecks, ThirtyTwoBitAddressesWrap) {
  for (const bool share : {false, true}) {
    TcgOptions options;
    options.share_checks = share;
    SmallGuest g(options);
    CpuState s;
    reset_cpu(s, false);
    s.cr0 |= kCr0Pe;
    s.segments[kCs] = {0, 0xffffffff, 0x08, 0xc09b};
    for (unsigned i : {kDs, kEs, kSs, kFs, kGs}) s.segments[i] = {0, 0xffffffff, 0x10, 0xc093};
    s.rip = SmallGuest::kCodeAt;
    s.gpr[kRsp] = SmallGuest::kStackTop;
    s.gpr[kRbx] = 0xfffffff0;
    s.gpr[kRsi] = 0x40;
    // mov eax, 11h; mov [ebx+2010h], eax; inc eax; mov [ebx+2014h], eax
    // mov [esi-20h], eax; inc eax; mov [esi-30h], eax; mov [esi+fffffff8h], eax
    // lea esi, [esi+2000h]; lea edi, [esi-3000h]; mov [edi+1008h], eax; mov [edi+100ch], eax
    g.load(SmallGuest::kCodeAt,
           {0xb8, 0x11, 0,    0,    0,                                                  //
            0x89, 0x83, 0x10, 0x20, 0,    0,    0x40, 0x89, 0x83, 0x14, 0x20, 0,    0,  //
            0x89, 0x46, 0xe0, 0x40, 0x89, 0x46, 0xd0, 0x89, 0x46, 0xf8,                 //
            0x8d, 0xb6, 0,    0x20, 0,    0,    0x8d, 0xbe, 0,    0xd0, 0xff, 0xff,     //
            0x89, 0x87, 0x08, 0x10, 0,    0,    0x89, 0x87, 0x0c, 0x10, 0,    0,        //
            0xe6, 0xf4, 0xeb, 0xfe});
    g.run(s);
    EXPECT_EQ(g.exit_value & 0xff, 0x13u);
    EXPECT_EQ(load_le<u32>(g.ram() + 0x2000), 0x11u);
    EXPECT_EQ(load_le<u32>(g.ram() + 0x2004), 0x12u);
    EXPECT_EQ(load_le<u32>(g.ram() + 0x20), 0x12u);
    EXPECT_EQ(load_le<u32>(g.ram() + 0x10), 0x13u);
    EXPECT_EQ(load_le<u32>(g.ram() + 0x38), 0x13u);
    EXPECT_EQ(load_le<u32>(g.ram() + 0x48), 0x13u);
    EXPECT_EQ(load_le<u32>(g.ram() + 0x4c), 0x13u);
  }
}

}  // namespace
}  // namespace emu
