// SPDX-License-Identifier: Apache-2.0
// 32-bit code on a 16-bit stack: which half of ESP moves, and when.
// Source: Intel SDM vol. 2 POP, ENTER, ARPL; vol. 1 6.2.3.
#include "tcg/small_guest.h"

namespace emu {
namespace {

constexpr Segment kCode32{0, 0xffffffff, 0x08, 0xc09b};
constexpr Segment kData32{0, 0xffffffff, 0x10, 0xc093};
constexpr Segment kData16{0, 0xffffffff, 0x18, 0x8093};

CpuState protected_mode(SmallGuest& g, const std::vector<u8>& code) {
  CpuState s;
  reset_cpu(s, false);
  const u64 gdt[] = {0, 0x00cf9b000000ffff, 0x00cf93000000ffff, 0x008f93000000ffff};
  std::memcpy(g.ram() + SmallGuest::kGdtAt, gdt, sizeof gdt);
  s.gdtr = {SmallGuest::kGdtAt, sizeof gdt - 1, {}};
  s.idtr = {SmallGuest::kIdtAt, 0, {}};
  s.cr0 |= kCr0Pe;
  s.segments[kCs] = kCode32;
  for (unsigned i : {kDs, kEs, kFs, kGs}) s.segments[i] = kData32;
  s.segments[kSs] = kData16;
  s.rip = SmallGuest::kCodeAt;
  g.load(SmallGuest::kCodeAt, code);
  g.load(SmallGuest::kCodeAt + code.size(), {0xe6, 0xf4, 0xeb, 0xfe});  // out f4h, al; jmp $
  return s;
}

TEST(StackWidth, PopSsMovesThePointerOfTheOldStack) {
  SmallGuest g;
  CpuState s = protected_mode(g, {0x17});  // pop ss
  s.gpr[kRsp] = 0x2fffc;
  store_le<u32>(g.ram() + 0xfffc, 0x10);
  g.run(s);
  EXPECT_EQ(g.state().segments[kSs].selector, 0x10);
  EXPECT_EQ(g.state().gpr[kRsp], 0x20000u);
}

TEST(StackWidth, EnterKeepsTheUpperHalfInTheFramePointer) {
  for (const u8 level : {u8{0}, u8{1}}) {
    SmallGuest g;
    CpuState s = protected_mode(g, {0xc8, 0x08, 0x00, level});  // enter 8, level
    s.gpr[kRsp] = 0x10000;
    s.gpr[kRbp] = 0x12345678;
    g.run(s);
    EXPECT_EQ(g.state().gpr[kRbp], 0x1fffcu);
    EXPECT_EQ(g.state().gpr[kRsp], 0x1fff4u - 4u * level);
    EXPECT_EQ(load_le<u32>(g.ram() + 0xfffc), 0x12345678u);
    if (level == 1) {
      EXPECT_EQ(load_le<u32>(g.ram() + 0xfff8), 0x1fffcu);
    }
  }
}

TEST(StackWidth, ArplNeedsAWritableSegmentOnlyToWrite) {
  for (const u16 selector : {u16{0xfff3}, u16{0xfff0}}) {
    SmallGuest g;
    CpuState s = protected_mode(g, {0x63, 0x1d, 0, 0, 2, 0});  // arpl [20000h], bx
    s.segments[kDs].attributes = 0xc091;                       // read-only
    s.gpr[kRbx] = 2;
    store_le(g.ram() + 0x20000, selector);
    const bool writes = (selector & 3) < 2;
    EXPECT_EQ(g.run(s).kind == StopReason::Kind::kTripleFault, writes);
    EXPECT_EQ(load_le<u16>(g.ram() + 0x20000), selector);
  }
}

}  // namespace
}  // namespace emu
