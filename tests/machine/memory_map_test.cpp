// SPDX-License-Identifier: Apache-2.0
// The PC's memory map: holes, shadow RAM, SMRAM, the A20 gate, memory above 4 GiB.
#include "machine/memory_map.h"

#include <gtest/gtest.h>

namespace emu {
namespace {

class MemoryMapTest : public ::testing::Test {
 protected:
  static std::unique_ptr<MemoryMap> make(u64 bytes) {
    auto map = MemoryMap::create(bytes);
    EXPECT_TRUE(map);
    return std::move(*map);
  }
  std::unique_ptr<MemoryMap> map_ = make(8 * kMiB);
  u64 load(u64 address) { return map_->memory().load(address, 1); }
  void store(u64 address, u64 value) { map_->memory().store(address, 1, value); }
};

TEST_F(MemoryMapTest, RamEndsWhereItEnds) {
  store(8 * kMiB - 1, 0x55);
  EXPECT_EQ(load(8 * kMiB - 1), 0x55u);
  store(8 * kMiB, 0x55);
  EXPECT_EQ(load(8 * kMiB), 0xffu);
}

TEST_F(MemoryMapTest, TheVgaHoleIsNotRam) {
  store(0xa0000, 0x55);
  EXPECT_EQ(load(0xa0000), 0xffu);
}

TEST_F(MemoryMapTest, TheBiosShowsTwice) {
  std::vector<u8> bios(256 * kKiB);
  bios.back() = 0x77;
  bios[128 * kKiB] = 0x66;
  ASSERT_TRUE(map_->set_bios(bios));
  EXPECT_EQ(load(0xffffffff), 0x77u);
  EXPECT_EQ(load(0xfffff), 0x77u);
  EXPECT_EQ(load(0xe0000), 0x66u);
  store(0xfffff, 0);
  EXPECT_EQ(load(0xfffff), 0x77u) << "it is ROM";
  EXPECT_FALSE(map_->set_bios(std::vector<u8>(1000)));
}

TEST_F(MemoryMapTest, ShadowRamInAllFourModes) {
  std::vector<u8> bios(128 * kKiB, 0x11);
  ASSERT_TRUE(map_->set_bios(bios));
  map_->set_pam(0, false, true);  // reads the ROM, writes RAM
  EXPECT_EQ(load(0xf1234), 0x11u);
  store(0xf1234, 0x22);
  EXPECT_EQ(load(0xf1234), 0x11u);
  map_->set_pam(0, true, false);  // RAM, read-only
  EXPECT_EQ(load(0xf1234), 0x22u);
  store(0xf1234, 0x33);
  EXPECT_EQ(load(0xf1234), 0x22u);
  map_->set_pam(0, true, true);
  store(0xf1234, 0x33);
  EXPECT_EQ(load(0xf1234), 0x33u);
  map_->set_pam(0, false, false);
  EXPECT_EQ(load(0xf1234), 0x11u);
}

TEST_F(MemoryMapTest, SmramIsSeenInSmmOrWhenOpen) {
  map_->set_smram({.enabled = true, .open = true, .closed = false, .locked = false});
  store(0xa8000, 0x42);
  map_->set_smram({.enabled = true, .open = false, .closed = false, .locked = true});
  EXPECT_EQ(load(0xa8000), 0xffu);
  map_->smm_changed(true);
  EXPECT_EQ(load(0xa8000), 0x42u);
  map_->smm_changed(false);
  EXPECT_EQ(load(0xa8000), 0xffu);
}

TEST_F(MemoryMapTest, WithTheGateClosedTheSecondMibIsTheFirst) {
  store(0x500, 0x12);
  store(0x100500, 0x34);
  map_->set_irq(0, false);
  EXPECT_EQ(load(0x100500), 0x12u);
  map_->set_irq(0, true);
  EXPECT_EQ(load(0x100500), 0x34u);
}

TEST_F(MemoryMapTest, MemoryGoesOnAbove4GiB) {
  map_ = make(5 * kGiB);
  store(kPciHoleBase - 1, 1);
  store(kPciHoleBase, 2);
  store(kHighMemoryBase, 3);
  store(kHighMemoryBase + 2 * kGiB - 1, 4);
  EXPECT_EQ(load(kPciHoleBase - 1), 1u);
  EXPECT_EQ(load(kPciHoleBase), 0xffu);
  EXPECT_EQ(load(kHighMemoryBase), 3u);
  EXPECT_EQ(load(kHighMemoryBase + 2 * kGiB - 1), 4u);
  EXPECT_EQ(load(kHighMemoryBase + 2 * kGiB), 0xffu);
}

}  // namespace
}  // namespace emu
