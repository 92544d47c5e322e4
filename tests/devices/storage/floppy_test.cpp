// SPDX-License-Identifier: Apache-2.0
// Floppy register scripts, as SeaBIOS and Linux run them.
#include "devices/storage/floppy_controller.h"

#include "devices/storage/ide_rig.h"
#include "devices/transfer_test.h"

namespace emu {
namespace {

struct FloppyRig {
  explicit FloppyRig(u64 bytes = 1440 * kKiB) : disk(bytes, executor) {
    memory->add(*ram_region, 0);
    floppy.change_medium(0, &disk);
  }
  u8 in(unsigned reg) { return static_cast<u8>(floppy.ports().read(reg, 1)); }
  void out(unsigned reg, u8 value) { floppy.ports().write(reg, 1, value); }
  u8 change() { return static_cast<u8>(floppy.change_port().read(0, 1)); }
  void command(std::initializer_list<u8> bytes) {
    for (const u8 b : bytes) {
      EXPECT_EQ(in(4) & 0xc0, 0x80);
      out(5, b);
    }
    executor.run();
  }
  std::vector<u8> result() {
    std::vector<u8> bytes;
    while ((in(4) & 0xc0) == 0xc0) bytes.push_back(in(5));
    return bytes;
  }
  void start() {
    out(2, 0x00);
    out(2, 0x1c);  // motor A, DMA gate, out of reset
    for (int i = 0; i < 4; ++i) {
      command({0x08});
      result();
    }
  }
  void seek(u8 track) {
    command({0x0f, 0, track});
    command({0x08});
    EXPECT_EQ(result(), (std::vector<u8>{0x20, track}));
  }
  // Channel 2 for `bytes` at `address`; 46h towards memory, 4Ah from it.
  void set_dma(u32 address, u32 bytes, u8 mode) {
    auto& low = dma.low_ports();
    low.write(10, 1, 6);
    low.write(12, 1, 0);
    low.write(11, 1, mode);
    low.write(4, 1, address & 0xff);
    low.write(4, 1, address >> 8 & 0xff);
    dma.page_ports().write(1, 1, address >> 16);
    low.write(5, 1, (bytes - 1) & 0xff);
    low.write(5, 1, (bytes - 1) >> 8);
    low.write(10, 1, 2);
  }

  std::unique_ptr<GuestRam> ram = std::move(*GuestRam::create("ram", kMiB));
  std::unique_ptr<Region> memory = Region::container("memory", u64{1} << 32);
  std::unique_ptr<Region> ram_region = Region::ram("ram", *ram, 0, kMiB);
  AddressSpace space{*memory};
  ManualExecutor executor;
  MemoryBackend disk;
  RecordingIrq irq;
  I8237Pair dma{space};
  FloppyController floppy{{irq.line(), dma, 2}};
};

TEST(Floppy, ResetInterruptsAndPollsFourDrives) {
  FloppyRig rig;
  EXPECT_EQ(rig.in(4), 0);
  rig.out(2, 0x0c);
  EXPECT_TRUE(rig.irq.level());
  for (u8 drive = 0; drive < 4; ++drive) {
    rig.command({0x08});
    EXPECT_EQ(rig.result(), (std::vector<u8>{static_cast<u8>(0xc0 | drive), 0}));
  }
  EXPECT_FALSE(rig.irq.level());
  rig.command({0x08});
  EXPECT_EQ(rig.result(), (std::vector<u8>{0x80}));  // nothing to sense
  rig.command({0x10});
  EXPECT_EQ(rig.result(), (std::vector<u8>{0x90}));
  rig.command({0x1d});
  EXPECT_EQ(rig.result(), (std::vector<u8>{0x80}));
}

TEST(Floppy, ASeekClearsTheChangeLine) {
  FloppyRig rig;
  rig.start();
  EXPECT_EQ(rig.change(), 0x80);
  rig.command({0x07, 0});
  EXPECT_TRUE(rig.irq.level());
  rig.command({0x08});
  EXPECT_EQ(rig.result(), (std::vector<u8>{0x20, 0}));
  EXPECT_EQ(rig.change(), 0x00);
  rig.floppy.change_medium(0, nullptr);
  rig.seek(3);
  EXPECT_EQ(rig.change(), 0x80);
}

TEST(Floppy, ReadsThroughDmaAcrossBothSides) {
  FloppyRig rig;
  const auto data = IdeRig::pattern(36 * 512, 3);
  ASSERT_TRUE(rig.disk.contents().write_flat(2 * 36 * 512, data));  // all of cylinder 2
  rig.start();
  rig.seek(2);
  rig.set_dma(0x12000, 36 * 512, 0x46);
  EXPECT_NE(rig.irq.take_rises(), 0u);
  rig.command({0xe6, 0, 2, 0, 1, 2, 18, 0x1b, 0xff});
  EXPECT_EQ(rig.irq.take_rises(), 1u);
  EXPECT_EQ(rig.result(), (std::vector<u8>{0x00, 0, 0, 3, 0, 1, 2}));
  std::vector<u8> got(data.size());
  rig.space.read(0x12000, got);
  EXPECT_EQ(got, data);
}

TEST(Floppy, WritesWhatDmaBrings) {
  FloppyRig rig;
  const auto data = IdeRig::pattern(2 * 512, 9);
  rig.space.write(0x8000, data);
  rig.start();
  rig.seek(5);
  rig.set_dma(0x8000, 2 * 512, 0x4a);
  rig.command({0xc5, 4, 5, 1, 7, 2, 18, 0x1b, 0xff});  // head 1, sectors 7 and 8
  EXPECT_EQ(rig.result(), (std::vector<u8>{0x04, 0, 0, 5, 1, 9, 2}));
  std::vector<u8> got(data.size());
  ASSERT_TRUE(rig.disk.contents().read_flat(((5 * 2 + 1) * 18 + 6) * 512, got));
  EXPECT_EQ(got, data);
}

TEST(Floppy, FormatFillsATrack) {
  FloppyRig rig;
  rig.start();
  rig.seek(1);
  rig.set_dma(0x8000, 18 * 4, 0x4a);
  rig.command({0x4d, 0, 2, 18, 0x1b, 0xf6});
  EXPECT_EQ(rig.result()[0], 0x00);
  std::vector<u8> got(18 * 512);
  ASSERT_TRUE(rig.disk.contents().read_flat(36 * 512, got));
  EXPECT_EQ(got, std::vector<u8>(18 * 512, u8{0xf6}));
}

TEST(Floppy, WhatIsNotThereIsAnError) {
  FloppyRig rig;
  rig.start();
  rig.seek(0);
  rig.set_dma(0x8000, 512, 0x46);
  rig.command({0xe6, 0, 0, 0, 19, 2, 18, 0x1b, 0xff});  // no sector 19
  EXPECT_EQ(rig.result()[1], 0x04);
  rig.command({0xe6, 0, 7, 0, 1, 2, 18, 0x1b, 0xff});  // the head is on track 0
  EXPECT_EQ(rig.result()[2], 0x10);
  rig.command({0xe6, 1, 0, 0, 1, 2, 18, 0x1b, 0xff});  // no drive B
  EXPECT_EQ(rig.result()[0], 0x41);
  rig.command({0x4a, 1});
  EXPECT_EQ(rig.result()[0], 0x41);
  rig.command({0x4a, 0});
  EXPECT_EQ(rig.result(), (std::vector<u8>{0, 0, 0, 0, 0, 1, 2}));
}

TEST(Floppy, AShortImageReadsAsZeroBehindItsEnd) {
  FloppyRig rig(1000 * 512);
  EXPECT_EQ(rig.floppy.cmos_type(0), 3);  // fits 720 KiB
  FloppyRig longer(1296384);
  EXPECT_EQ(longer.floppy.cmos_type(0), 4);
  longer.start();
  longer.seek(79);
  longer.set_dma(0x8000, 512, 0x46);
  longer.command({0xe6, 0, 79, 0, 1, 2, 18, 0x1b, 0xff});
  EXPECT_EQ(longer.result()[0], 0x00);
}

struct FloppyTransferRig final : DeviceRig {
  FloppyRig parts;
  Device& device() override { return parts.floppy; }
  std::vector<RigWindow> windows() override {
    return {{&parts.floppy.ports(), 6, {1, 1, false}},
            {&parts.floppy.change_port(), 1, {1, 1, false}}};
  }
  void poke(u64 random) override {
    parts.set_dma(0x8000, 0x4000, random % 2 != 0 ? u8{0x46} : u8{0x4a});
    parts.out(2, 0x1c);
    if (random % 3 == 0) {
      for (const int b : {0xe6, 0, 0, 0, 1, 2, 18, 0x1b, 0xff}) parts.out(5, static_cast<u8>(b));
    }
    if (random % 4 != 0) parts.executor.run();
  }
};
INSTANTIATE_TEST_SUITE_P(Floppies, TransferTest,
                         testing::Values(device_under_test<FloppyTransferRig>("floppy")),
                         device_under_test_name);

}  // namespace
}  // namespace emu
