// SPDX-License-Identifier: Apache-2.0
#include "devices/chipset/i8237.h"

#include <numeric>

#include "devices/transfer_test.h"

namespace emu {
namespace {

struct SmallMemory {
  std::unique_ptr<GuestRam> ram = std::move(*GuestRam::create("ram", kMiB));
  std::unique_ptr<Region> root = Region::container("root", u64{1} << 32);
  std::unique_ptr<Region> region = Region::ram("ram", *ram, 0, kMiB);
  AddressSpace space{*root};
  SmallMemory() { root->add(*region, 0); }
};

struct DmaRig final : DeviceRig {
  SmallMemory memory;
  I8237Pair dma{memory.space};
  Device& device() override { return dma; }
  std::vector<RigWindow> windows() override {
    return {{&dma.low_ports(), 16}, {&dma.high_ports(), 32}, {&dma.page_ports(), 16}};
  }
  void poke(u64 random) override {
    std::vector<u8> bytes(random % 4096, 0x5a);
    const unsigned channel = static_cast<unsigned>(random >> 16 & 7);
    dma.low_ports().write(14, 1, 0);
    dma.high_ports().write(28, 1, 0);
    dma.to_memory(channel, bytes);
    dma.from_memory(channel, bytes);
  }
};
INSTANTIATE_TEST_SUITE_P(I8237, TransferTest, testing::Values(device_under_test<DmaRig>("i8237")),
                         device_under_test_name);

struct Dma : testing::Test {
  SmallMemory memory;
  I8237Pair dma{memory.space};

  void low(u64 port, u8 value) { dma.low_ports().write(port, 1, value); }
  void high(u64 port, u8 value) { dma.high_ports().write(port - 0xc0, 1, value); }
  void page(u64 port, u8 value) { dma.page_ports().write(port - 0x80, 1, value); }
  u8 at(u64 address) { return memory.ram->host()[address]; }
  static std::vector<u8> counting(std::size_t n) {
    std::vector<u8> bytes(n);
    std::iota(bytes.begin(), bytes.end(), u8{1});
    return bytes;
  }
  // As a floppy driver programs channel 2: address 3:1000h, `count` bytes.
  void program_channel2(u8 mode, u16 count) {
    low(0x0a, 0x06);
    low(0x0c, 0);
    low(0x04, 0x00);
    low(0x04, 0x10);
    low(0x05, static_cast<u8>(count - 1));
    low(0x05, static_cast<u8>((count - 1) >> 8));
    page(0x81, 0x03);
    low(0x0b, mode);
    low(0x0a, 0x02);
  }
};

TEST_F(Dma, DeviceToMemoryStopsAtTheTerminalCount) {
  program_channel2(0x46, 6);
  EXPECT_TRUE(dma.is_ready(2));
  DmaTransfer t = dma.to_memory(2, counting(4));
  EXPECT_EQ(t.bytes, 4u);
  EXPECT_FALSE(t.terminal_count);
  t = dma.to_memory(2, counting(4));
  EXPECT_EQ(t.bytes, 2u);
  EXPECT_TRUE(t.terminal_count);
  EXPECT_EQ(at(0x31003), 4);
  EXPECT_EQ(at(0x31004), 1);
  EXPECT_EQ(at(0x31006), 0);
  EXPECT_FALSE(dma.is_ready(2)) << "the channel masks itself";
  EXPECT_EQ(dma.low_ports().read(8, 1), 0x04u);
  EXPECT_EQ(dma.low_ports().read(8, 1), 0x00u) << "reading takes the status back";
}

TEST_F(Dma, RegistersReadBackThroughTheFlipFlop) {
  program_channel2(0x46, 0x200);
  dma.to_memory(2, counting(0x10));
  low(0x0c, 0);
  EXPECT_EQ(dma.low_ports().read(4, 1), 0x10u);
  EXPECT_EQ(dma.low_ports().read(4, 1), 0x10u);
  EXPECT_EQ(dma.low_ports().read(5, 1), 0xefu);
  EXPECT_EQ(dma.low_ports().read(5, 1), 0x01u);
  EXPECT_EQ(dma.low_ports().read(15, 1), 0xfbu);
}

TEST_F(Dma, MemoryToDeviceWithAutoInitialization) {
  for (u8 i = 0; i < 4; ++i) memory.ram->host()[0x31000 + i] = static_cast<u8>(0xa0 + i);
  program_channel2(0x5a, 4);
  std::vector<u8> bytes(6);
  DmaTransfer t = dma.from_memory(2, bytes);
  EXPECT_EQ(t.bytes, 4u);
  EXPECT_TRUE(t.terminal_count);
  EXPECT_TRUE(dma.is_ready(2));
  t = dma.from_memory(2, std::span(bytes).subspan(4));
  EXPECT_EQ(bytes, (std::vector<u8>{0xa0, 0xa1, 0xa2, 0xa3, 0xa0, 0xa1}));
}

TEST_F(Dma, WrongDirectionAndDisabledControllerMoveNothing) {
  program_channel2(0x4a, 4);
  EXPECT_EQ(dma.to_memory(2, counting(4)).bytes, 0u);
  program_channel2(0x46, 4);
  low(0x08, 0x04);
  EXPECT_EQ(dma.to_memory(2, counting(4)).bytes, 0u);
  low(0x0d, 0);
  EXPECT_FALSE(dma.is_ready(2)) << "master clear masks all";
}

TEST_F(Dma, VerifyCountsWithoutWriting) {
  program_channel2(0x42, 2);
  EXPECT_TRUE(dma.to_memory(2, counting(2)).terminal_count);
  EXPECT_EQ(at(0x31000), 0);
}

TEST_F(Dma, DecrementingAddress) {
  program_channel2(0x66, 3);
  EXPECT_TRUE(dma.to_memory(2, counting(3)).terminal_count);
  EXPECT_EQ(at(0x31000), 1);
  EXPECT_EQ(at(0x30ffe), 3);
}

TEST_F(Dma, AddressWrapsInsideItsPage) {
  program_channel2(0x46, 4);
  low(0x0c, 0);
  low(0x04, 0xfe);
  low(0x04, 0xff);
  EXPECT_TRUE(dma.to_memory(2, counting(4)).terminal_count);
  EXPECT_EQ(at(0x3ffff), 2);
  EXPECT_EQ(at(0x30000), 3);
  EXPECT_EQ(at(0x40000), 0);
}

TEST_F(Dma, WordChannelsShiftTheirAddress) {
  high(0xd4, 0x05);
  high(0xd8, 0);
  high(0xc4, 0x00);
  high(0xc4, 0x80);
  high(0xc6, 0x01);
  high(0xc6, 0x00);
  page(0x8b, 0x05);
  high(0xd6, 0x45);
  high(0xd4, 0x01);
  const DmaTransfer t = dma.to_memory(5, counting(5));
  EXPECT_EQ(t.bytes, 4u);
  EXPECT_TRUE(t.terminal_count);
  EXPECT_EQ(at(0x50000), 1);
  EXPECT_EQ(at(0x50003), 4);
  EXPECT_EQ(at(0x50004), 0);
}

TEST_F(Dma, UnusedPageRegistersRemember) {
  page(0x80, 0x5a);
  EXPECT_EQ(dma.page_ports().read(0, 1), 0x5au);
}

}  // namespace
}  // namespace emu
