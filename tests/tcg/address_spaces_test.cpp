// SPDX-License-Identifier: Apache-2.0
// Address spaces with PCIDs: what a switch may keep, and what each way of invalidating drops.
// Source: Intel SDM vol. 3 4.10.1 (PCIDs), 4.10.2.4 (global pages), 4.10.4.1 (operations that
// invalidate).
#include <random>

#include "tcg/small_guest.h"

namespace emu {
namespace {

using namespace asmjit::x86;

constexpr unsigned kSpaces = 11;  // more than are remembered
constexpr unsigned kPages = 4;
constexpr u64 kWindow = u64{1} << 39;  // where the spaces differ
constexpr u64 kTables = 0x200000;      // four tables a space
constexpr u64 kFrames = 0x300000;      // frame n holds n, and a function that returns n
constexpr u64 kDescriptor = 0x60000;   // of INVPCID
constexpr unsigned kFrameCount = 64;
constexpr u64 kNoFlush = u64{1} << 63;
constexpr u64 kGlobal = 0x100;

u64 root_of(unsigned space) {
  return kTables + space * 4 * kPageBytes;
}
u64 entry_at(unsigned space, unsigned page) {
  return root_of(space) + 3 * kPageBytes + 8 * page;
}
u64 frame_at(unsigned frame) {
  return kFrames + frame * kPageBytes;
}
u64 page_at(unsigned page) {
  return kWindow + page * kPageBytes;
}

// A guest whose program is made of steps; the first that goes wrong ends it with its number.
class Spaces {
 public:
  explicit Spaces(const TcgOptions& options = {}) : g(options), s(g.long_mode()) {
    s.cr4 |= kCr4Pcide | kCr4Pge;
    s.cr3 = root_of(0);
    for (unsigned space = 0; space < kSpaces; ++space) {
      u8* tables = g.ram() + root_of(space);
      store_le(tables, (SmallGuest::kPageTablesAt + 0x1000) | 7);
      for (u64 level = 1; level <= 3; ++level) {
        store_le(tables + (level - 1) * kPageBytes + (level == 1 ? 8 : 0),
                 (root_of(space) + level * kPageBytes) | 7);
      }
      for (unsigned page = 0; page < kPages; ++page) map(space, page, space * kPages + page);
    }
    for (unsigned n = 0; n < kFrameCount; ++n) {
      store_le(g.ram() + frame_at(n), u64{n});
      g.assemble(frame_at(n) + 8, [n](Assembler& code) {
        code.mov(eax, n);
        code.ret();
      });
    }
  }

  void map(unsigned space, unsigned page, unsigned frame, u64 flags = 0x67) {
    store_le(g.ram() + entry_at(space, page), frame_at(frame) | flags);
  }

  // Steps of the program; `a` is set while run() assembles.
  void go_to(unsigned space, bool keeping) {
    a->mov(rax, root_of(space) | space | (keeping ? kNoFlush : 0));
    a->mov(cr3, rax);
  }
  void remap(unsigned space, unsigned page, unsigned frame, u64 flags = 0x67) {
    a->mov(rax, frame_at(frame) | flags);
    a->mov(qword_ptr(entry_at(space, page)), rax);
  }
  void invalidate_page(unsigned page) {
    a->mov(rdi, page_at(page));
    a->invlpg(ptr(rdi));
  }
  void invalidate(unsigned type, unsigned space, unsigned page) {
    a->mov(qword_ptr(kDescriptor), space);
    a->mov(rax, page_at(page));
    a->mov(qword_ptr(kDescriptor + 8), rax);
    a->mov(eax, type);
    a->invpcid(rax, xmmword_ptr(kDescriptor));
  }
  void expect(unsigned page, unsigned frame, bool call) {
    const auto right = a->newLabel();
    a->mov(rdi, page_at(page));
    if (call) {
      a->lea(rdx, ptr(rdi, 8));
      a->call(rdx);
    } else {
      a->mov(rax, qword_ptr(rdi));
    }
    a->cmp(eax, frame);
    a->je(right);
    a->mov(eax, 1000 + steps);
    a->out(0xf4, eax);
    a->hlt();
    a->bind(right);
    ++steps;
  }
  // Ends with 1 if every expectation held.
  u32 run(const std::function<void()>& program) {
    g.assemble(SmallGuest::kCodeAt, [&](Assembler& assembler) {
      a = &assembler;
      program();
      a->mov(eax, 1);
      a->out(0xf4, eax);
      a->hlt();
    });
    g.run(s);
    return g.exit_value;
  }

  SmallGuest g;
  CpuState s;
  Assembler* a = nullptr;
  unsigned steps = 0;
};

TEST(AddressSpaces, EachSeesItsOwnPages) {
  Spaces t;
  EXPECT_EQ(t.run([&] {
    for (unsigned round = 0; round < 3; ++round) {
      for (unsigned space = 0; space < kSpaces; ++space) {
        t.go_to(space, round != 0);
        for (unsigned page = 0; page < kPages; ++page) {
          t.expect(page, space * kPages + page, round == 1);
        }
      }
    }
  }),
            1u);
}

// Going back and forth refills nothing.
TEST(AddressSpaces, ASwitchThatKeepsEntriesNeedsNoWalks) {
  const auto fills = [](bool tagged) {
    TcgOptions options;
    options.tag_tlb = tagged;
    Spaces t(options);
    EXPECT_EQ(t.run([&] {
      for (unsigned round = 0; round < 100; ++round) {
        t.go_to(1 + round % 2, true);
        t.expect(0, (1 + round % 2) * kPages, false);
      }
    }),
              1u);
    const std::string text = t.g.cpu().counters();
    return std::stoul(text.substr(text.find("tlb_fills ") + 10));
  };
  EXPECT_LT(fills(true) + 90, fills(false));
}

TEST(AddressSpaces, LoadingCr3WithoutBit63DropsWhatThePcidHad) {
  Spaces t;
  EXPECT_EQ(t.run([&] {
    t.go_to(1, false);
    t.expect(0, kPages, true);
    t.go_to(2, true);
    t.remap(1, 0, 60);
    t.go_to(1, false);
    t.expect(0, 60, false);
    t.expect(0, 60, true);
  }),
            1u);
}

TEST(AddressSpaces, InvpcidReachesOtherSpaces) {
  for (unsigned type = 0; type < 4; ++type) {
    Spaces t;
    EXPECT_EQ(t.run([&] {
      t.go_to(1, false);
      t.expect(2, kPages + 2, true);
      t.expect(2, kPages + 2, false);
      t.go_to(2, true);
      t.remap(1, 2, 61);
      t.invalidate(type, 1, 2);
      t.go_to(1, true);
      t.expect(2, 61, true);
      t.expect(2, 61, false);
      t.remap(1, 2, 62);  // and its own
      t.invalidate(type, 1, 2);
      t.expect(2, 62, true);
      t.expect(2, 62, false);
    }),
              1u)
        << "INVPCID type " << type;
  }
}

TEST(AddressSpaces, InvlpgDropsGlobalPagesOfAllSpaces) {
  Spaces t;
  t.map(1, 3, 50, 0x67 | kGlobal);
  t.map(2, 3, 50, 0x67 | kGlobal);
  EXPECT_EQ(t.run([&] {
    t.go_to(1, false);
    t.expect(3, 50, true);
    t.expect(3, 50, false);
    t.go_to(2, true);
    t.expect(3, 50, false);
    t.remap(1, 3, 51, 0x67 | kGlobal);
    t.remap(2, 3, 51, 0x67 | kGlobal);
    t.invalidate_page(3);
    t.expect(3, 51, true);
    t.go_to(1, true);
    t.expect(3, 51, false);
    t.expect(3, 51, true);
  }),
            1u);
}

TEST(AddressSpaces, ChangingCr4DropsEverything) {
  for (const u64 bit_to_toggle : {u64{kCr4Pge}, u64{kCr4Pcide}}) {
    Spaces t;
    EXPECT_EQ(t.run([&] {
      t.go_to(1, false);
      t.expect(0, kPages, false);
      t.go_to(0, true);
      t.remap(1, 0, 55);
      for (unsigned twice = 0; twice < 2; ++twice) {
        t.a->mov(rax, cr4);
        t.a->xor_(eax, static_cast<u32>(bit_to_toggle));
        t.a->mov(cr4, rax);
      }
      t.go_to(1, true);
      t.expect(0, 55, false);
    }),
              1u)
        << bit_to_toggle;
  }
}

// A write entry that was put away must not outlive the page's becoming code.
TEST(AddressSpaces, WritesSeeThatAPageBecameCodeMeanwhile) {
  Spaces t;
  t.map(1, 0, 40);
  t.map(2, 0, 40);
  const auto write = [&](u8 value) {  // the immediate of the function
    t.a->mov(rdi, page_at(0) + 9);
    t.a->mov(byte_ptr(rdi), value);
  };
  EXPECT_EQ(t.run([&] {
    t.go_to(1, false);
    write(40);
    t.go_to(2, true);
    t.expect(0, 40, true);
    for (u8 value = 70; value < 76; ++value) {
      t.go_to(1, true);
      write(value);
      t.go_to(2, true);
      t.expect(0, value, true);
    }
  }),
            1u);
}

// Random switches, changes and invalidations: never less is dropped than must be.
TEST(AddressSpaces, RandomSequencesNeverSeeStalePages) {
  for (unsigned seed = 0; seed < 12; ++seed) {
    std::mt19937 random(seed);
    const auto below = [&](unsigned n) { return static_cast<unsigned>(random() % n); };
    Spaces t;
    unsigned frame[kSpaces][kPages];
    bool stale[kSpaces] = {};  // must be entered without bit 63
    for (unsigned i = 0; i < kSpaces; ++i) {
      for (unsigned p = 0; p < kPages; ++p) frame[i][p] = i * kPages + p;
    }
    unsigned here = 0;
    const auto change = [&] {
      const unsigned space = below(3) == 0 ? here : below(kSpaces), page = below(kPages);
      frame[space][page] = below(kFrameCount);
      t.remap(space, page, frame[space][page]);
      const unsigned how = below(6);
      if (how < 4) return t.invalidate(how, space, page);
      if (space == here) return t.invalidate_page(page);
      stale[space] = true;
    };
    const u32 end = t.run([&] {
      for (unsigned step = 0; step < 500; ++step) {
        if (below(3) == 0) change();
        if (below(2) == 0) {
          here = below(2) == 0 ? below(3) : below(kSpaces);
          t.go_to(here, !stale[here] && below(8) != 0);
          stale[here] = false;
        }
        const unsigned page = below(kPages);
        t.expect(page, frame[here][page], below(2) == 0);
      }
    });
    EXPECT_EQ(end, 1u) << "seed " << seed;
  }
}

}  // namespace
}  // namespace emu
