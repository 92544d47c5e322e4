// SPDX-License-Identifier: Apache-2.0
// The firmware configuration device, as SeaBIOS talks to it, and what it is filled with.
#include "machine/fw_cfg.h"

#include <gtest/gtest.h>

#include "base/bits.h"
#include "machine/boot/firmware_items.h"
#include "machine/memory_map.h"

namespace emu {
namespace {

class FwCfgTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto map = MemoryMap::create(4 * kMiB);
    ASSERT_TRUE(map);
    map_ = std::move(*map);
    device_ = std::make_unique<FwCfg>(map_->memory());
    device_->add_file("opt/b", {1, 2, 3});
    device_->add_file("opt/a", {9, 8});
    device_->finish();
  }
  std::string read_item(u16 key, unsigned bytes) {
    device_->write(0, 2, key);
    std::string out;
    for (unsigned i = 0; i < bytes; ++i) out += static_cast<char>(device_->read(1, 1));
    return out;
  }
  // Runs a DMA control block at 1000h; returns what it says afterwards.
  u32 dma(u32 control, u32 length, u64 address) {
    u8 block[16];
    store_be<u32>(block, control);
    store_be<u32>(block + 4, length);
    store_be<u64>(block + 8, address);
    map_->memory().write(0x1000, block);
    device_->write(4, 4, 0);
    device_->write(8, 4, __builtin_bswap32(0x1000));
    return __builtin_bswap32(static_cast<u32>(map_->memory().load(0x1000, 4)));
  }
  std::unique_ptr<MemoryMap> map_;
  std::unique_ptr<FwCfg> device_;
};

TEST_F(FwCfgTest, HasItsSignatures) {
  EXPECT_EQ(read_item(FwCfg::kSignature, 4), "QEMU");
  EXPECT_EQ(device_->read(4, 4), 0x554d4551u) << "QEMU, as little-endian bytes";
  EXPECT_EQ(device_->read(8, 4), 0x47464320u) << " CFG";
}

TEST_F(FwCfgTest, ListsFilesByName) {
  const std::string directory = read_item(FwCfg::kFileDirectory, 4 + 2 * 64);
  const auto* d = reinterpret_cast<const u8*>(directory.data());
  EXPECT_EQ(load_be<u32>(d), 2u);
  EXPECT_STREQ(directory.data() + 4 + 8, "opt/a");
  EXPECT_EQ(load_be<u32>(d + 4), 2u) << "size";
  const u16 key = load_be<u16>(d + 4 + 64 + 4);
  EXPECT_EQ(read_item(key, 3), std::string("\1\2\3"));
}

TEST_F(FwCfgTest, ReadsBehindTheEndAreZero) {
  EXPECT_EQ(read_item(FwCfg::kFirstFile, 4), std::string("\x9\x8\0\0", 4));
  EXPECT_EQ(read_item(0x7777, 1), std::string(1, '\0'));
}

TEST_F(FwCfgTest, DmaSelectsSkipsAndReads) {
  constexpr u32 kSelect = 8, kRead = 2, kSkip = 4, kWrite = 16;
  EXPECT_EQ(dma((FwCfg::kFirstFile + 1) << 16 | kSelect | kSkip, 1, 0), 0u);
  EXPECT_EQ(dma(kRead, 2, 0x2000), 0u);
  EXPECT_EQ(map_->memory().load(0x2000, 4), 0x0302u);
  EXPECT_EQ(dma(kWrite, 2, 0x2000), 1u) << "items are read-only";
}

TEST(FirmwareItems, BootOrderNamesDrivesAsSeaBiosDoes) {
  const std::vector<BootDevice> devices{{'c', "/pci@i0cf8/ide@1,1/drive@0/disk@0"},
                                        {'d', "/pci@i0cf8/ide@1,1/drive@1/disk@0"},
                                        {'c', "/pci@i0cf8/scsi@3/disk@0,0"}};
  EXPECT_EQ(boot_order_file("dc", devices),
            "/pci@i0cf8/ide@1,1/drive@1/disk@0\n"
            "/pci@i0cf8/ide@1,1/drive@0/disk@0\n"
            "/pci@i0cf8/scsi@3/disk@0,0\n");
  EXPECT_EQ(boot_order_file("n", devices), "");
}

TEST(FirmwareItems, DrivesWithAnIndexComeFirst) {
  const std::vector<BootDevice> devices{{'c', "one", -1}, {'d', "two", 7}, {'n', "three", 2}};
  EXPECT_EQ(boot_order_file("dc", devices), "three\ntwo\none\n");
}

}  // namespace
}  // namespace emu
