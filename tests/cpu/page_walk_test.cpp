// SPDX-License-Identifier: Apache-2.0
// Page walks: rules one by one, then random tables against a straightforward model.
#include "cpu/page_walk.h"

#include <random>

#include "cpu/lab.h"

namespace emu::test {
namespace {

constexpr u64 kP = 1, kW = 2, kU = 4, kA = 0x20, kD = 0x40, kPs = 0x80, kG = 0x100;
constexpr u64 kNx = u64{1} << 63;

class PageWalk : public Lab {
 protected:
  PageTranslation out;
  Fault walk(u64 linear, PageAccess access) {
    out = {};
    return walk_page(core, LinearAddr{linear}, access, out);
  }
  // PML4 10000h -> PDPT 11000h -> PD 12000h -> PT 13000h, page 0 of each.
  void four_levels(u64 leaf) {
    put(0x10000, 8, 0x11000 | kP | kW | kU);
    put(0x11000, 8, 0x12000 | kP | kW | kU);
    put(0x12000, 8, 0x13000 | kP | kW | kU);
    put(0x13000, 8, leaf);
    state.cr0 = kCr0Pe | kCr0Pg | kCr0Wp;
    state.cr4 = kCr4Pae;
    state.cr3 = 0x10000;
    state.efer = kEferLme | kEferLma | kEferNxe;
  }
  void legacy(u64 pde, u64 pte) {
    put(0x10000, 4, pde);
    put(0x11000, 4, pte);
    state.cr0 = kCr0Pe | kCr0Pg | kCr0Wp;
    state.cr3 = 0x10000;
  }
};

TEST_F(PageWalk, WithoutPagingIsTheIdentityIn32Bits) {
  EXPECT_FALSE(walk(0xf12345678, {.write = true}));
  EXPECT_EQ(out.physical.value, 0x12345678u);
  EXPECT_TRUE(out.writable && out.executable && out.readable);
}

TEST_F(PageWalk, FourLevelsSetAccessedAndOnWritesDirty) {  // SDM vol. 3 4.5, 4.8
  four_levels(0x7000 | kP | kW | kU);
  EXPECT_FALSE(walk(0x123, {}));
  EXPECT_EQ(out.physical.value, 0x7123u);
  EXPECT_EQ(out.page_bytes, 4096u);
  EXPECT_FALSE(out.writable);  // clean: the first write must come back
  EXPECT_EQ(get(0x13000, 8), 0x7000 | kP | kW | kU | kA);
  EXPECT_EQ(get(0x10000, 8) & kA, kA);
  EXPECT_FALSE(walk(0x123, {.write = true}));
  EXPECT_TRUE(out.writable);
  EXPECT_EQ(get(0x13000, 8), 0x7000 | kP | kW | kU | kA | kD);
}

TEST_F(PageWalk, AFailedWalkTouchesNothing) {
  four_levels(0);
  expect_fault(walk(0x123, {.write = true, .user = true}), kVectorPf, kPfWrite | kPfUser);
  EXPECT_EQ(get(0x10000, 8) & kA, 0u);
}

TEST_F(PageWalk, FaultAddressIsTheLinearAddress) {
  four_levels(0);
  EXPECT_EQ(walk(0xffffffffff600123, {}).address, 0xffffffffff600123u);
}

TEST_F(PageWalk, LargePages) {  // SDM vol. 3 tables 4-16, 4-18
  four_levels(0);
  put(0x12000, 8, 0x40200000 | kP | kW | kPs);
  EXPECT_FALSE(walk(0x1fffff, {}));
  EXPECT_EQ(out.physical.value, 0x403fffffu);
  EXPECT_EQ(out.page_bytes, 2 * kMiB);
  put(0x11000, 8, 0x80000000 | kP | kW | kPs);
  EXPECT_FALSE(walk(0x3fffffff, {}));
  EXPECT_EQ(out.physical.value, 0xbfffffffu);
  EXPECT_EQ(out.page_bytes, kGiB);
}

TEST_F(PageWalk, ReservedBitsFault) {  // SDM vol. 3 4.5.4
  four_levels(u64{1} << 41 | kP);
  expect_fault(walk(0, {}), kVectorPf, kPfPresent | kPfReserved);
  four_levels(0x7000 | kP);
  put(0x12000, 8, 0x40202000 | kP | kPs);  // bit 13 of a 2 MiB page
  expect_fault(walk(0, {}), kVectorPf, kPfPresent | kPfReserved);
  four_levels(0x7000 | kP);
  put(0x10000, 8, 0x11000 | kP | kPs);  // PS in a PML4 entry
  expect_fault(walk(0, {}), kVectorPf, kPfPresent | kPfReserved);
  four_levels(0x7000 | kP | kNx);
  state.efer &= ~kEferNxe;
  expect_fault(walk(0, {}), kVectorPf, kPfPresent | kPfReserved);
}

TEST_F(PageWalk, WriteProtectForSupervisors) {  // SDM vol. 3 4.6.1
  four_levels(0x7000 | kP | kU | kD);
  expect_fault(walk(0, {.write = true}), kVectorPf, kPfPresent | kPfWrite);
  expect_fault(walk(0, {.write = true, .user = true}), kVectorPf, kPfPresent | kPfWrite | kPfUser);
  state.cr0 &= ~kCr0Wp;
  EXPECT_FALSE(walk(0, {.write = true}));
  EXPECT_TRUE(out.writable);
  expect_fault(walk(0, {.write = true, .user = true}), kVectorPf, kPfPresent | kPfWrite | kPfUser);
}

TEST_F(PageWalk, UserNeedsUserAtEveryLevel) {
  four_levels(0x7000 | kP | kW | kU);
  put(0x11000, 8, 0x12000 | kP | kW);
  expect_fault(walk(0, {.user = true}), kVectorPf, kPfPresent | kPfUser);
  EXPECT_FALSE(walk(0, {}));
  EXPECT_FALSE(out.user_page);
}

TEST_F(PageWalk, NoExecute) {
  four_levels(0x7000 | kP | kW | kU | kNx);
  expect_fault(walk(0, {.fetch = true}), kVectorPf, kPfPresent | kPfFetch);
  EXPECT_FALSE(walk(0, {}));
  EXPECT_FALSE(out.executable);
}

TEST_F(PageWalk, FetchBitOfTheErrorCodeNeedsNxOrSmep) {  // SDM vol. 3 4.7
  four_levels(0);
  state.efer &= ~kEferNxe;
  expect_fault(walk(0, {.fetch = true}), kVectorPf, 0);
  state.cr4 |= kCr4Smep;
  expect_fault(walk(0, {.fetch = true}), kVectorPf, kPfFetch);
}

TEST_F(PageWalk, SmepAndSmap) {  // SDM vol. 3 4.6.1
  four_levels(0x7000 | kP | kW | kU);
  state.cr4 |= kCr4Smep | kCr4Smap;
  expect_fault(walk(0, {.fetch = true}), kVectorPf, kPfPresent | kPfFetch);
  expect_fault(walk(0, {}), kVectorPf, kPfPresent);
  EXPECT_FALSE(walk(0, {.fetch = true, .user = true}));
  state.rflags |= kFlagAc;
  EXPECT_FALSE(walk(0, {}));
  expect_fault(walk(0, {.implicit = true}), kVectorPf, kPfPresent);
}

TEST_F(PageWalk, ProtectionKeys) {  // SDM vol. 3 4.6.2
  four_levels(0x7000 | kP | kW | kU | u64{3} << 59);
  state.cr4 |= kCr4Pke;
  state.pkru = 2u << 6;  // key 3: write disable
  EXPECT_FALSE(walk(0, {.user = true}));
  expect_fault(walk(0, {.write = true, .user = true}), kVectorPf,
               kPfPresent | kPfWrite | kPfUser | kPfProtectionKey);
  state.pkru = 1u << 6;  // access disable; fetches are not data accesses
  expect_fault(walk(0, {.user = true}), kVectorPf, kPfPresent | kPfUser | kPfProtectionKey);
  EXPECT_FALSE(walk(0, {.fetch = true, .user = true}));
}

TEST_F(PageWalk, GlobalOnlyWithPge) {
  four_levels(0x7000 | kP | kG);
  EXPECT_FALSE(walk(0, {}));
  EXPECT_FALSE(out.global);
  state.cr4 |= kCr4Pge;
  EXPECT_FALSE(walk(0, {}));
  EXPECT_TRUE(out.global);
}

TEST_F(PageWalk, LegacyTwoLevels) {  // SDM vol. 3 4.3
  legacy(0x11000 | kP | kW, 0x7000 | kP | kW);
  EXPECT_FALSE(walk(0xabcdef0000000345, {.write = true}));
  EXPECT_EQ(out.physical.value, 0x7345u);
  EXPECT_EQ(get(0x11000, 4), 0x7000 | kP | kW | kA | kD);
  EXPECT_EQ(walk(0xffff'ffff'0040'0000, {}).address, 0x400000u);
}

TEST_F(PageWalk, LegacyLargePagesWithPse36) {  // SDM vol. 3 table 4-4
  legacy(0xc00000 | 0x12u << 13 | kP | kW | kPs, 0);
  EXPECT_FALSE(walk(0x234567, {}));  // without CR4.PSE bit 7 is ignored: a page table's address
  EXPECT_EQ(out.page_bytes, 4096u);
  state.cr4 |= kCr4Pse;
  EXPECT_FALSE(walk(0x234567, {}));
  EXPECT_EQ(out.physical.value, (u64{0x12} << 32) | 0xe34567u);
  EXPECT_EQ(out.page_bytes, 4 * kMiB);
  put(0x10000, 4, 0xc00000 | 1u << 21 | kP | kPs);
  expect_fault(walk(0, {}), kVectorPf, kPfPresent | kPfReserved);
}

TEST_F(PageWalk, PaeUsesTheLoadedPdptes) {  // SDM vol. 3 4.4
  legacy(0, 0);
  state.cr4 |= kCr4Pae;
  state.pdpte[3] = 0x11000 | kP;
  put(0x11000, 8, u64{0x3} << 32 | 0x200000 | kP | kW | kPs);
  EXPECT_FALSE(walk(0xc0012345, {.write = true}));
  EXPECT_EQ(out.physical.value, (u64{3} << 32) | 0x212345u);
  expect_fault(walk(0x12345, {}), kVectorPf);
  put(0x11000, 8, u64{1} << 62 | 0x200000 | kP | kPs);
  expect_fault(walk(0xc0000000, {}), kVectorPf, kPfPresent | kPfReserved);
}

TEST_F(PageWalk, PdptesWithReservedBitsAreRefused) {  // SDM vol. 3 4.4.1
  u64 pdptes[4] = {1, 2, 3, 4};
  put(0x10020, 8, 0x11000 | kP);
  put(0x10028, 8, 0xffff);  // not present: not looked at... but bit 0 is set, so it is
  expect_fault(read_pdptes(core, 0x10020, pdptes), kVectorGp);
  EXPECT_EQ(pdptes[0], 1u);
  put(0x10028, 8, 0xfffe);
  EXPECT_FALSE(read_pdptes(core, 0x10020, pdptes));
  EXPECT_EQ(pdptes[0], 0x11000 | kP);
}

TEST_F(PageWalk, UpperLevelsAreCachedUntilAFlush) {  // SDM vol. 3 4.10.3
  four_levels(0x7000 | kP | kW | kU);
  EXPECT_FALSE(walk(0, {}));
  put(0x12000, 8, 0);  // the page directory entry goes
  EXPECT_FALSE(walk(0, {}));
  put(0x13000, 8, 0x8000 | kP);  // the page table itself is always read
  EXPECT_FALSE(walk(0, {}));
  EXPECT_EQ(out.physical.value, 0x8000u);
  core.paging_cache.flush();
  expect_fault(walk(0, {}), kVectorPf, 0);
}

TEST_F(PageWalk, FaultsAreNeverReportedFromTheCache) {  // SDM vol. 3 4.10.4.1
  four_levels(0x7000 | kP | kW | kU);
  put(0x12000, 8, 0x13000 | kP | kU);
  EXPECT_FALSE(walk(0, {}));
  put(0x12000, 8, 0x13000 | kP | kW | kU);  // rights are raised without INVLPG
  EXPECT_FALSE(walk(0, {.write = true}));
}

TEST_F(PageWalk, AnotherAddressSpaceHasAnotherCache) {
  four_levels(0x7000 | kP);
  EXPECT_FALSE(walk(0, {}));
  state.cr3 = 0x14000;  // empty
  expect_fault(walk(0, {}), kVectorPf, 0);
}

// --- The model: one level after the other, written without sharing anything with the walker.

struct ModelResult {
  bool fault = false;
  u32 code = 0;
  u64 physical = 0;
};

ModelResult model_walk(FlatMemory& memory, const CpuState& s, u64 linear, PageAccess a) {
  const bool nxe = (s.efer & kEferNxe) != 0;
  const bool wp = (s.cr0 & kCr0Wp) != 0;
  u32 code = (a.write ? 2u : 0) | (a.user ? 4u : 0);
  if (a.fetch && (nxe || (s.cr4 & kCr4Smep) != 0)) code |= 16;
  bool w = true;
  bool u = true;
  bool x = true;
  u64 table = s.cr3 & 0xffffffffff000;
  u64 entry = 0;
  u64 size = 0;
  for (int level = 4; level > 0; --level) {
    const unsigned shift = 12 + 9 * static_cast<unsigned>(level - 1);
    entry = memory.read_phys(PhysAddr{table + ((linear >> shift) & 511) * 8}, 8);
    if ((entry & 1) == 0) return {true, code, 0};
    u64 reserved = 0x000fff0000000000;
    if (!nxe) reserved |= kNx;
    size = u64{1} << shift;
    const bool large = (entry & kPs) != 0 && level < 4 && level > 1;
    if (level == 4) reserved |= kPs;
    if (large) reserved |= (size - 1) & ~u64{0x1fff};
    if ((entry & reserved) != 0) return {true, code | 9, 0};
    w = w && (entry & kW) != 0;
    u = u && (entry & kU) != 0;
    x = x && (entry & kNx) == 0;
    if (large || level == 1) break;
    table = entry & 0xffffffffff000;
  }
  const bool smap =
      u && !a.user && (s.cr4 & kCr4Smap) != 0 && (a.implicit || (s.rflags & kFlagAc) == 0);
  bool ok = true;
  if (a.user && !u) ok = false;
  if (a.fetch && (!x || (!a.user && u && (s.cr4 & kCr4Smep) != 0))) ok = false;
  if (!a.fetch && smap) ok = false;
  if (a.write && !w && (a.user || wp)) ok = false;
  if (!ok) return {true, code | 1, 0};
  return {false, 0, (entry & 0xffffffffff000 & ~(size - 1)) | (linear & (size - 1))};
}

TEST_F(PageWalk, RandomTablesAgreeWithTheModel) {
  std::mt19937_64 random(42);
  four_levels(0);
  for (unsigned round = 0; round < 20000; ++round) {
    // Few tables, so that walks meet; entries mostly sensible, sometimes with any bit set.
    const u64 at = 0x10000 + (random() % 4) * 0x1000 + (random() % 2) * 8;
    u64 entry = (0x10000 + (random() % 4) * 0x1000) | (random() & (kW | kU | kA | kD | kG)) | kP;
    if (random() % 4 == 0) entry |= kPs;
    if (random() % 4 == 0) entry &= ~u64{0x1ff000};
    if (random() % 8 == 0) entry |= kNx;
    if (random() % 8 == 0) entry |= u64{1} << (random() % 64);
    if (random() % 16 == 0) entry &= ~kP;
    put(at, 8, entry);
    core.paging_cache.flush();
    state.cr0 = kCr0Pe | kCr0Pg | (random() & kCr0Wp);
    state.cr4 = kCr4Pae | (random() & (kCr4Smep | kCr4Smap));
    state.efer = kEferLme | kEferLma | (random() & kEferNxe);
    state.rflags = kFlagFixed1 | (random() & kFlagAc);
    PageAccess access;
    access.fetch = random() % 3 == 0;
    access.write = !access.fetch && random() % 2 == 0;
    access.user = random() % 2 == 0;
    access.implicit = !access.user && !access.fetch && random() % 2 == 0;
    u64 linear = random() & 0xfff;
    for (const unsigned shift : {12u, 21u, 30u, 39u}) linear |= (random() % 2) << shift;
    const ModelResult expected = model_walk(memory, state, linear, access);
    const Fault fault = walk(linear, access);
    ASSERT_EQ(static_cast<bool>(fault), expected.fault) << "round " << round;
    if (fault) {
      ASSERT_EQ(fault.error_code, expected.code) << "round " << round;
    } else {
      ASSERT_EQ(out.physical.value, expected.physical) << "round " << round;
    }
  }
}

}  // namespace
}  // namespace emu::test
