// SPDX-License-Identifier: Apache-2.0
// A processor on the bench: a flat physical memory behind CpuMemory, and ready-made descriptor
// tables for each mode. Everything lies below 1 MiB:
//   1000h GDT, 2000h IDT, 3000h TSS, 3800h second TSS, 4000h LDT, 8000h top of the level 0 stack,
//   9000h top of the level 3 stack, 10000h page tables.
#pragma once

#include <gtest/gtest.h>

#include <vector>

#include "base/bits.h"
#include "cpu/cpu_core.h"
#include "cpu/page_walk.h"
#include "cpu/segmentation.h"

namespace emu::test {

// CpuMemory over an array; paging by walk_page(). Beyond the array: reads as ones, writes vanish.
class FlatMemory final : public CpuMemory {
 public:
  explicit FlatMemory(std::size_t bytes) : ram(bytes) {}

  Fault read(LinearAddr address, unsigned size, u64& value, Privilege who) override {
    value = 0;
    if (Fault f = probe(address, size, false, who)) return f;
    for (unsigned i = 0; i < size; ++i) {
      value |= u64{byte(address + i, false, who)} << (8 * i);
    }
    return Fault::none();
  }
  Fault write(LinearAddr address, unsigned size, u64 value, Privilege who) override {
    if (Fault f = probe(address, size, true, who)) return f;
    ++writes;
    for (unsigned i = 0; i < size; ++i) {
      byte(address + i, true, who) = static_cast<u8>(value >> (8 * i));
    }
    return Fault::none();
  }
  Fault probe_write(LinearAddr address, u64 length_bytes, Privilege who) override {
    return probe(address, length_bytes, true, who);
  }
  Fault compare_exchange(LinearAddr address, unsigned size, u64 expected, u64 desired,
                         bool& swapped) override {
    u64 value = 0;
    if (Fault f = read(address, size, value, Privilege::kSupervisor)) return f;
    swapped = value == expected;
    return write(address, size, swapped ? desired : value, Privilege::kSupervisor);
  }
  u64 read_phys(PhysAddr address, unsigned size) override {
    u64 value = 0;
    for (unsigned i = 0; i < size; ++i) {
      const u64 at = address.value + i;
      value |= u64{at < ram.size() ? ram[at] : u8{0xff}} << (8 * i);
    }
    return value;
  }
  void write_phys(PhysAddr address, unsigned size, u64 value) override {
    for (unsigned i = 0; i < size; ++i) {
      const u64 at = address.value + i;
      if (at < ram.size()) ram[at] = static_cast<u8>(value >> (8 * i));
    }
  }
  bool compare_exchange_phys(PhysAddr address, unsigned size, u64 expected, u64 desired) override {
    if (read_phys(address, size) != expected) return false;
    write_phys(address, size, desired);
    return true;
  }

  std::vector<u8> ram;
  CpuCore* core = nullptr;
  unsigned writes = 0;

 private:
  PageAccess access(bool write, Privilege who) const {
    const bool user =
        who == Privilege::kUser || (who == Privilege::kCurrent && core->state.cpl() == 3);
    return {write, false, user, who == Privilege::kSupervisor};
  }
  Fault probe(LinearAddr address, u64 length, bool write, Privilege who) {
    for (u64 i = 0; i < length; ++i) {
      if (i != 0 && ((address.value + i) & 0xfff) != 0) continue;
      PageTranslation page;
      if (Fault f = walk_page(*core, address + i, access(write, who), page)) return f;
    }
    return Fault::none();
  }
  u8& byte(LinearAddr address, bool write, Privilege who) {
    PageTranslation page;
    const Fault fault = walk_page(*core, address, access(write, who), page);
    EXPECT_FALSE(fault);
    outside_ = 0xff;
    return page.physical.value < ram.size() ? ram[page.physical.value] : outside_;
  }
  u8 outside_ = 0xff;
};

// `limit` is the raw 20-bit field; `access` bits 40-47, `flags` bits 52-55 (G=8, D=4, L=2).
constexpr u64 descriptor(u32 base, u32 limit, u8 access, u8 flags) {
  return (limit & 0xffff) | (u64{base & 0xffffff} << 16) | (u64{access} << 40) |
         (u64{(limit >> 16) & 0xf} << 48) | (u64{flags} << 52) | (u64{base >> 24} << 56);
}
constexpr u64 gate(u16 selector, u32 offset, u8 access, u8 count_or_ist = 0) {
  return (offset & 0xffff) | (u64{selector} << 16) | (u64{count_or_ist} << 32) |
         (u64{access} << 40) | (u64{offset >> 16} << 48);
}

// Selectors of the standard GDT.
inline constexpr u16 kCode0 = 0x08, kData0 = 0x10, kCode3 = 0x1b, kData3 = 0x23, kTss = 0x28,
                     kTss2 = 0x38, kCode16 = 0x48, kData16 = 0x50, kConforming = 0x58,
                     kLdtSelector = 0x60, kAbsent = 0x70, kCallGate = 0x78, kTaskGate = 0x80,
                     kCompat3 = 0x8b, kCode64 = 0x90, kCode64User = 0x9b;
inline constexpr u32 kGdtAt = 0x1000, kIdtAt = 0x2000, kTssAt = 0x3000, kTss2At = 0x3800,
                     kLdtAt = 0x4000, kStack0 = 0x8000, kStack3 = 0x9000, kTablesAt = 0x10000;

inline CpuFeatures all_features() {
  CpuFeatures f;
  f.cr4_allowed = 0x770fff;
  f.efer_allowed = kEferSce | kEferLme | kEferLma | kEferNxe;
  f.xcr0_allowed = 0xe7;
  f.spec_ctrl_allowed = 7;
  f.arch_capabilities_msr = true;
  f.pred_cmd = true;
  return f;
}

class Lab : public ::testing::Test {
 protected:
  Lab() { memory.core = &core; }

  void put(u64 at, unsigned size, u64 value) { memory.write_phys(PhysAddr{at}, size, value); }
  u64 get(u64 at, unsigned size) { return memory.read_phys(PhysAddr{at}, size); }
  void gdt(u16 selector, u64 low, u64 high = 0) {
    put(kGdtAt + (selector & 0xfff8u), 8, low);
    if (high != 0) put(kGdtAt + (selector & 0xfff8u) + 8, 8, high);
  }
  // Fills a 64-bit gate with IST `ist`.
  void idt64(u8 vector, u16 selector, u64 offset, u8 access = 0x8e, u8 ist = 0) {
    put(kIdtAt + vector * 16u, 8, gate(selector, static_cast<u32>(offset), access, ist));
    put(kIdtAt + vector * 16u + 8, 8, offset >> 32);
  }
  void idt32(u8 vector, u16 selector, u32 offset, u8 access = 0x8e) {
    put(kIdtAt + vector * 8u, 8, gate(selector, offset, access));
  }
  void load(SegmentIndex index, u16 selector) {
    Descriptor d{get(kGdtAt + (selector & 0xfff8u), 8), 0};
    state.segments[index] = unpack_segment(d, selector);
  }

  void real_mode() {
    reset_cpu(state, false);
    for (Segment& s : state.segments) s = real_mode_segment(0);
    state.segments[kCs] = real_mode_segment(0x100);
    state.rip = 0x10;
    state.gpr[kRsp] = 0x8000;
  }

  void standard_gdt() {
    gdt(kCode0, descriptor(0, 0xfffff, 0x9b, 0xc));
    gdt(kData0, descriptor(0, 0xfffff, 0x93, 0xc));
    gdt(kCode3, descriptor(0, 0xfffff, 0xfb, 0xc));
    gdt(kData3, descriptor(0, 0xfffff, 0xf3, 0xc));
    gdt(kTss, descriptor(kTssAt, 0x67, 0x8b, 0));
    gdt(kTss2, descriptor(kTss2At, 0x67, 0x89, 0));
    gdt(kCode16, descriptor(0, 0xffff, 0x9b, 0));
    gdt(kData16, descriptor(0, 0xffff, 0x93, 0));
    gdt(kConforming, descriptor(0, 0xfffff, 0x9f, 0xc));
    gdt(kLdtSelector, descriptor(kLdtAt, 0xff, 0x82, 0));
    gdt(kAbsent, descriptor(0, 0xfffff, 0x13, 0xc));
    gdt(kCompat3, descriptor(0, 0xfffff, 0xfb, 0xc));
    gdt(kCode64, descriptor(0, 0xfffff, 0x9b, 0xa));
    gdt(kCode64User, descriptor(0, 0xfffff, 0xfb, 0xa));
    state.gdtr = {kGdtAt, 0xfff, {}};
    state.idtr = {kIdtAt, 0xfff, {}};
  }

  // 32-bit protected mode at level 0, no paging; the TSS has a level 0 stack.
  void protected_mode() {
    reset_cpu(state, false);
    standard_gdt();
    state.cr0 = kCr0Pe | kCr0Et;
    load(kCs, kCode0);
    for (const SegmentIndex i : {kSs, kDs, kEs, kFs, kGs}) load(i, kData0);
    state.tr = unpack_segment({get(kGdtAt + kTss, 8), 0}, kTss);
    put(kTssAt + 4, 4, kStack0);
    put(kTssAt + 8, 2, kData0);
    put(kTssAt + 102, 2, 0x68);
    state.rip = 0x20000;
    state.gpr[kRsp] = 0x7000;
  }
  void to_user() {
    load(kCs, kCode3);
    for (const SegmentIndex i : {kSs, kDs, kEs, kFs, kGs}) load(i, kData3);
    state.gpr[kRsp] = kStack3;
  }

  // Identity mapping of the first GiB with 2 MiB pages.
  void identity_tables(u64 rights) {
    put(kTablesAt, 8, (kTablesAt + 0x1000) | 7);
    put(kTablesAt + 0x1000, 8, (kTablesAt + 0x2000) | 7);
    for (u64 i = 0; i < 512; ++i) put(kTablesAt + 0x2000 + i * 8, 8, i << 21 | 0x80 | rights);
  }
  // 64-bit mode at level 0.
  void long_mode() {
    protected_mode();
    identity_tables(7);
    state.cr4 = kCr4Pae;
    state.cr3 = kTablesAt;
    state.cr0 |= kCr0Pg | kCr0Wp;
    state.efer = kEferLme | kEferLma | kEferSce | kEferNxe;
    load(kCs, kCode64);
    state.tr.limit = 0x67;
    put(kTssAt + 4, 8, kStack0);
  }
  void to_user64() {
    load(kCs, kCode64User);
    load(kSs, kData3);
    state.gpr[kRsp] = kStack3;
  }

  // Everything a fault must leave alone.
  [[nodiscard]] std::vector<u8> snapshot() {
    StateIo io = StateIo::saver();
    io.section("cpu", 1, [&] { transfer(state, io); });
    EXPECT_TRUE(io.finish());
    return io.bytes();
  }

  FlatMemory memory{1 << 20};
  CpuState state;
  CpuFeatures features = all_features();
  CpuCore core{state, memory, features};
};

// Compares a Fault's vector and, if it has one, error code.
inline void expect_fault(const Fault& fault, u8 vector, u32 code = 0) {
  EXPECT_EQ(unsigned{fault.vector}, unsigned{vector});
  EXPECT_EQ(fault.error_code, code);
}

}  // namespace emu::test
