// SPDX-License-Identifier: Apache-2.0
// ATA disk register scripts, as SeaBIOS, GRUB and Linux's ata_piix would run them.
#include <cstring>

#include "devices/storage/ide_rig.h"
#include "devices/transfer_test.h"

namespace emu {
namespace {

constexpr u8 kReady = 0x50;
constexpr u8 kReadyData = 0x58;
constexpr u8 kBusy = 0xd0;
constexpr u8 kFailed = 0x51;

struct DiskRig : IdeRig {
  DiskRig() {
    ide.attach_disk(0, 0, disk);
    ide.reset();
  }
};

TEST(AtaDisk, ResetShowsTheSignature) {
  DiskRig rig;
  rig.control(0x04);
  EXPECT_EQ(rig.in(7), 0x80);
  rig.control(0x00);
  EXPECT_EQ(rig.in(7), kReady);
  EXPECT_EQ(rig.in(1), 1);
  EXPECT_EQ(rig.in(2), 1);
  EXPECT_EQ(rig.in(3), 1);
  EXPECT_EQ(rig.in(4), 0);
  EXPECT_EQ(rig.in(5), 0);
  EXPECT_EQ(rig.in(6), 0xa0);
}

TEST(AtaDisk, EmptyPlacesReadAsZero) {
  DiskRig rig;
  rig.out(6, 0xb0);  // device 1
  rig.out(2, 0x55);
  EXPECT_EQ(rig.in(7), 0);
  EXPECT_EQ(rig.in(2), 0);
  EXPECT_EQ(rig.alternate(), 0);
  EXPECT_EQ(rig.ide.command_ports(1).read(7, 1), 0u);
  rig.out(6, 0xa0);
  EXPECT_EQ(rig.in(7), kReady);
}

TEST(AtaDisk, IdentifyTellsItsSizeAndName) {
  DiskRig rig;
  rig.out(6, 0xa0);
  rig.out(7, 0xec);
  EXPECT_TRUE(rig.irq.level(0));
  EXPECT_EQ(rig.in(7), kReadyData);
  EXPECT_FALSE(rig.irq.level(0));  // reading the status clears the interrupt
  const auto id = rig.read_block(512);
  EXPECT_EQ(rig.in(7), kReady);
  EXPECT_EQ(load_le<u16>(&id[0]), 0x40);
  EXPECT_EQ(load_le<u32>(&id[120]), 64 * kMiB / 512);                        // words 60-61
  EXPECT_EQ(load_le<u64>(&id[200]), 64 * kMiB / 512);                        // words 100-103
  EXPECT_EQ(load_le<u16>(&id[2]), 130);                                      // cylinders
  EXPECT_EQ(std::string(id.begin() + 54, id.begin() + 66), "ME UAHDRIDKS");  // swapped pairs
  u8 sum = 0;
  for (const u8 b : id) sum = static_cast<u8>(sum + b);
  EXPECT_EQ(sum, 0);
}

TEST(AtaDisk, PioReadIsBusyUntilTheBackendIsDone) {
  DiskRig rig;
  const auto data = IdeRig::pattern(3 * 512, 5);
  ASSERT_TRUE(rig.disk.contents().write_flat(100 * 512, data));
  rig.command28(0x20, 100, 3);
  EXPECT_EQ(rig.alternate(), kBusy);
  EXPECT_FALSE(rig.irq.level(0));
  rig.executor.run();
  std::vector<u8> all;
  for (int sector = 0; sector < 3; ++sector) {
    EXPECT_EQ(rig.irq.take_rises(0), 1u);  // one interrupt a sector
    EXPECT_EQ(rig.in(7), kReadyData);
    const auto block = rig.read_block(512, sector == 1 ? 4 : 2);
    all.insert(all.end(), block.begin(), block.end());
  }
  EXPECT_EQ(all, data);
  EXPECT_EQ(rig.in(7), kReady);
  EXPECT_EQ(rig.irq.take_rises(0), 0u);  // none at the end
  EXPECT_EQ(rig.in(3), 102);             // the last sector
  EXPECT_EQ(rig.in(2), 0);
}

// INS and OUTS move up to the end of a block at once, with the same interrupts as word by word.
TEST(AtaDisk, StringAccessesMoveABlockAtOnce) {
  DiskRig rig;
  const auto data = IdeRig::pattern(2 * 512, 5);
  IoHandler& ports = rig.ide.command_ports(0);
  rig.command28(0x30, 100, 2);
  EXPECT_EQ(ports.write_string(0, 2, std::span(data).first(100)), 100u);
  EXPECT_EQ(ports.write_string(0, 2, std::span(data).subspan(100)), 412u);  // the first block ends
  EXPECT_EQ(rig.irq.take_rises(0), 1u);
  EXPECT_EQ(rig.in(7), kReadyData);
  EXPECT_EQ(ports.write_string(0, 4, std::span(data).subspan(512)), 512u);
  rig.executor.run();
  EXPECT_EQ(rig.irq.take_rises(0), 1u);
  EXPECT_EQ(rig.in(7), kReady);
  EXPECT_EQ(rig.on_disk(100 * 512, 1024), data);
  std::vector<u8> all(1024);
  EXPECT_EQ(ports.read_string(0, 2, all), 0u);  // no transfer under way
  rig.command28(0x20, 100, 2);
  rig.executor.run();
  EXPECT_EQ(rig.irq.take_rises(0), 1u);
  EXPECT_EQ(rig.in(7), kReadyData);
  EXPECT_EQ(ports.read_string(1, 2, all), 0u);  // not the data register
  EXPECT_EQ(ports.read_string(0, 2, all), 512u);
  EXPECT_EQ(rig.irq.take_rises(0), 1u);
  EXPECT_EQ(rig.in(7), kReadyData);
  EXPECT_EQ(ports.read_string(0, 4, std::span(all).subspan(512)), 512u);
  EXPECT_EQ(rig.in(7), kReady);
  EXPECT_EQ(all, data);
}

TEST(AtaDisk, PioWriteAsksForEachSectorAndEndsWithAnInterrupt) {
  DiskRig rig;
  const auto data = IdeRig::pattern(2 * 512, 9);
  rig.command28(0x30, 7, 2);
  EXPECT_EQ(rig.in(7), kReadyData);
  EXPECT_EQ(rig.irq.take_rises(0), 0u);  // none before the first block
  rig.write_block(std::span(data).first(512));
  EXPECT_EQ(rig.irq.take_rises(0), 1u);
  EXPECT_EQ(rig.in(7), kReadyData);
  rig.write_block(std::span(data).subspan(512), 4);
  EXPECT_EQ(rig.in(7), kBusy);
  rig.executor.run();
  EXPECT_EQ(rig.irq.take_rises(0), 1u);
  EXPECT_EQ(rig.in(7), kReady);
  EXPECT_EQ(rig.on_disk(7 * 512, 1024), data);
}

TEST(AtaDisk, ReadMultipleMovesBlocksOfSectors) {
  DiskRig rig;
  const auto data = IdeRig::pattern(20 * 512, 1);
  ASSERT_TRUE(rig.disk.contents().write_flat(0, data));
  rig.out(2, 8);
  rig.out(7, 0xc6);
  EXPECT_EQ(rig.in(7), kReady);
  rig.command28(0xc4, 0, 20);
  rig.executor.run();
  std::vector<u8> all;
  for (const u64 sectors : {8, 8, 4}) {
    EXPECT_EQ(rig.in(7), kReadyData);
    const auto block = rig.read_block(sectors * 512);
    all.insert(all.end(), block.begin(), block.end());
  }
  EXPECT_EQ(rig.in(7), kReady);
  EXPECT_EQ(all, data);
  rig.out(2, 3);  // not a power of two
  rig.out(7, 0xc6);
  EXPECT_EQ(rig.in(7), kFailed);
}

TEST(AtaDisk, LargePioTransfersCrossTheBuffer) {
  DiskRig rig;
  const auto data = IdeRig::pattern(600 * 512, 3);
  rig.command48(0x34, 1000, 600);
  for (u64 at = 0; at < data.size(); at += 512) {
    ASSERT_EQ(rig.in(7), kReadyData) << at;
    rig.write_block(std::span(data).subspan(at, 512));
    rig.executor.run();
  }
  EXPECT_EQ(rig.in(7), kReady);
  EXPECT_EQ(rig.on_disk(1000 * 512, data.size()), data);
  rig.command48(0x24, 1000, 600);
  std::vector<u8> all;
  for (u64 at = 0; at < data.size(); at += 512) {
    rig.executor.run();
    const auto block = rig.read_block(512);
    all.insert(all.end(), block.begin(), block.end());
  }
  EXPECT_EQ(all, data);
}

TEST(AtaDisk, CylinderHeadSectorFollowsInitializeParameters) {
  DiskRig rig;
  rig.out(6, 0xa0 | 7);  // 8 heads
  rig.out(2, 32);        // 32 sectors a track
  rig.out(7, 0x91);
  EXPECT_EQ(rig.in(7), kReady);
  const auto data = IdeRig::pattern(512, 77);
  ASSERT_TRUE(rig.disk.contents().write_flat(u64{(5 * 8 + 3) * 32 + 9} * 512, data));
  rig.out(6, 0xa0 | 3);
  rig.out(2, 1);
  rig.out(3, 10);
  rig.out(4, 5);
  rig.out(5, 0);
  rig.out(7, 0x20);
  rig.executor.run();
  EXPECT_EQ(rig.read_block(512), data);
  rig.out(3, 0);  // there is no sector 0
  rig.out(2, 1);
  rig.out(7, 0x20);
  EXPECT_EQ(rig.in(7), kFailed);
  EXPECT_EQ(rig.in(1), 0x10);
}

TEST(AtaDisk, NienSilencesTheInterrupt) {
  DiskRig rig;
  rig.control(0x02);
  rig.out(7, 0xec);
  EXPECT_FALSE(rig.irq.level(0));
  rig.control(0x00);
  EXPECT_TRUE(rig.irq.level(0));  // it was only held back
}

TEST(AtaDisk, DmaReadGoesStraightToGuestMemory) {
  DiskRig rig;
  const auto data = IdeRig::pattern(16 * 512, 21);
  ASSERT_TRUE(rig.disk.contents().write_flat(4096, data));
  rig.make_table(0x1000, {{0x20000, 4096}, {0x30200, 4096}});
  rig.master_out(4, 4, 0x1000);
  rig.master_out(2, 1, 0x06);
  rig.command28(0xc8, 8, 16);
  EXPECT_EQ(rig.alternate(), kBusy);
  rig.master_out(0, 1, 0x09);  // start, to memory
  EXPECT_EQ(rig.master_in(2), 0x01);
  EXPECT_FALSE(rig.irq.level(0));
  rig.executor.run();
  EXPECT_TRUE(rig.irq.level(0));
  EXPECT_EQ(rig.master_in(2), 0x04);  // interrupt, no longer active
  EXPECT_EQ(rig.in(7), kReady);
  rig.master_out(0, 1, 0x00);
  rig.master_out(2, 1, 0x04);
  EXPECT_EQ(rig.master_in(2), 0x00);
  EXPECT_EQ(rig.guest(0x20000, 4096), std::vector<u8>(data.begin(), data.begin() + 4096));
  EXPECT_EQ(rig.guest(0x30200, 4096), std::vector<u8>(data.begin() + 4096, data.end()));
  EXPECT_TRUE(rig.ram->is_dirty(DirtyClient::kMigration, 0x20));
  EXPECT_TRUE(rig.ram->is_dirty(DirtyClient::kMigration, 0x31));
}

TEST(AtaDisk, DmaWorksWhenTheEngineIsStartedFirst) {
  DiskRig rig;
  const auto data = IdeRig::pattern(512, 2);
  rig.space.write(0x5000, data);
  rig.make_table(0x1000, {{0x5000, 512}});
  rig.master_out(4, 4, 0x1000);
  rig.master_out(0, 1, 0x01);
  rig.command48(0x35, 3, 1);
  rig.executor.run();
  EXPECT_EQ(rig.master_in(2), 0x04);
  EXPECT_EQ(rig.on_disk(3 * 512, 512), data);
}

TEST(AtaDisk, ATableLargerThanTheTransferStaysActive) {
  DiskRig rig;
  rig.make_table(0x1000, {{0x5000, 0}});  // 0 means 64 KiB
  rig.master_out(4, 4, 0x1000);
  rig.command28(0xc8, 0, 1);
  rig.master_out(0, 1, 0x09);
  rig.executor.run();
  EXPECT_EQ(rig.master_in(2), 0x05);
}

TEST(AtaDisk, ATableThatIsTooShortStallsUntilAReset) {
  DiskRig rig;
  rig.make_table(0x1000, {{0x5000, 1024}});
  rig.master_out(4, 4, 0x1000);
  rig.command28(0xc8, 0, 4);
  rig.master_out(0, 1, 0x09);
  rig.executor.run();
  EXPECT_EQ(rig.master_in(2), 0x00);
  EXPECT_FALSE(rig.irq.level(0));
  EXPECT_EQ(rig.alternate(), kBusy);
  rig.master_out(0, 1, 0x00);
  rig.control(0x04);
  rig.control(0x00);
  EXPECT_EQ(rig.in(7), kReady);
}

TEST(AtaDisk, DmaToNowhereAndFromNowhereIsHarmless) {
  DiskRig rig;
  rig.make_table(0x1000, {{0xfffff000, 512}, {IdeRig::kRamBytes - 256, 512}});
  rig.master_out(4, 4, 0x1000);
  for (const u8 code : {u8{0xc8}, u8{0xca}}) {
    rig.command28(code, 0, 2);
    rig.master_out(0, 1, 0x09);
    rig.executor.run();
    EXPECT_EQ(rig.in(7), kReady);
    rig.master_out(0, 1, 0x00);
  }
  EXPECT_EQ(rig.on_disk(0, 512), std::vector<u8>(512, u8{0xff}));  // open bus
}

TEST(AtaDisk, AResetDuringARequestDropsItsResult) {
  DiskRig rig;
  rig.command28(0x20, 0, 1);
  rig.control(0x04);
  rig.control(0x00);
  rig.command28(0x20, 1, 1);  // has to wait for the old one
  EXPECT_EQ(rig.alternate(), kBusy);
  rig.executor.run();
  EXPECT_EQ(rig.in(7), kReadyData);
  EXPECT_TRUE(rig.executor.idle());
}

TEST(AtaDisk, BeyondTheEndIsNotFound) {
  DiskRig rig;
  rig.command28(0x20, 64 * kMiB / 512 - 1, 2);
  EXPECT_EQ(rig.in(7), kFailed);
  EXPECT_EQ(rig.in(1), 0x10);
  rig.command48(0x25, u64{1} << 40, 1);
  EXPECT_EQ(rig.in(7), kFailed);
  rig.command28(0x42, 0, 0);  // READ VERIFY EXT of a whole 65536 sectors
  EXPECT_EQ(rig.in(7), kReady);
}

TEST(AtaDisk, NativeMaxAndUnknownCommands) {
  DiskRig rig;
  rig.out(6, 0xe0);
  rig.out(7, 0xf8);
  EXPECT_EQ(rig.in(7), kReady);
  EXPECT_EQ(rig.in(3) | rig.in(4) << 8 | rig.in(5) << 16, 64 * kMiB / 512 - 1);
  rig.out(7, 0x27);
  rig.control(0x80);  // the bytes before
  EXPECT_EQ(rig.in(3), 0);
  rig.out(7, 0xff);
  EXPECT_EQ(rig.in(7), kFailed);
  EXPECT_EQ(rig.in(1), 0x04);
}

TEST(AtaDisk, FlushSmartPowerFeatures) {
  DiskRig rig;
  rig.out(7, 0xe7);
  EXPECT_EQ(rig.alternate(), kBusy);
  rig.executor.run();
  EXPECT_EQ(rig.in(7), kReady);
  rig.out(1, 0xda);
  rig.out(4, 0x4f);
  rig.out(5, 0xc2);
  rig.out(7, 0xb0);
  EXPECT_EQ(rig.in(7), kReady);
  EXPECT_EQ(rig.in(4), 0x4f);
  rig.out(7, 0xe5);
  EXPECT_EQ(rig.in(2), 0xff);
  rig.out(7, 0xe0);
  rig.executor.run();
  rig.out(7, 0xe5);
  EXPECT_EQ(rig.in(2), 0x00);
  rig.out(1, 0x03);
  rig.out(2, 0x22);  // multi-word DMA 2
  rig.out(7, 0xef);
  EXPECT_EQ(rig.in(7), kReady);
  rig.out(7, 0xec);
  EXPECT_EQ(load_le<u16>(&rig.read_block(512)[126]), 0x0407);  // word 63
}

TEST(AtaDisk, TrimDiscardsRanges) {
  DiskRig rig;
  ASSERT_TRUE(rig.disk.contents().write_flat(0, IdeRig::pattern(64 * 512, 1)));
  rig.space.store(0x6000, 8, u64{8} << 48 | 16);  // 8 sectors from 16
  rig.space.store(0x6008, 8, u64{1} << 48 | 40);
  rig.make_table(0x1000, {{0x6000, 512}});
  rig.master_out(4, 4, 0x1000);
  rig.out(1, 1);
  rig.command48(0x06, 0, 1);
  rig.master_out(0, 1, 0x01);
  rig.executor.run();
  EXPECT_EQ(rig.in(7), kReady);
  EXPECT_EQ(rig.on_disk(16 * 512, 8 * 512), std::vector<u8>(8 * 512));
  EXPECT_EQ(rig.on_disk(40 * 512, 512), std::vector<u8>(512));
  EXPECT_NE(rig.on_disk(41 * 512, 512), std::vector<u8>(512));
}

TEST(AtaDisk, HostErrorsBecomeErrorBits) {
  IdeRig rig;
  set_log_level(LogLevel::kError);
  FaultBackend faulty(rig.disk, rig.executor, [](const BlockRequest&) {
    return Error{5, "made to fail"};
  });
  rig.ide.attach_disk(0, 0, faulty);
  rig.command28(0x20, 3, 1);
  rig.executor.run();
  EXPECT_TRUE(rig.irq.level(0));
  EXPECT_EQ(rig.in(7), kFailed);
  EXPECT_EQ(rig.in(1), 0x40);  // uncorrectable
  EXPECT_EQ(rig.in(3), 3);
  rig.command28(0x30, 3, 1);
  rig.write_block(std::vector<u8>(512));
  rig.executor.run();
  EXPECT_EQ(rig.in(7), kFailed);
  EXPECT_EQ(rig.in(1), 0x04);
  rig.make_table(0x1000, {{0x5000, 512}});
  rig.master_out(4, 4, 0x1000);
  rig.command28(0xc8, 0, 1);
  rig.master_out(0, 1, 0x09);
  rig.executor.run();
  EXPECT_EQ(rig.master_in(2), 0x06);  // error and interrupt
  EXPECT_EQ(rig.in(7), kFailed);
  rig.out(7, 0xe7);
  rig.executor.run();
  EXPECT_EQ(rig.in(7), kFailed);
}

TEST(AtaDisk, AReadOnlyDiskRefusesWrites) {
  IdeRig rig;
  MemoryBackend read_only(kMiB, rig.executor, true);
  rig.ide.attach_disk(0, 0, read_only);
  rig.command28(0x30, 0, 1);
  EXPECT_EQ(rig.in(7), kFailed);
  rig.command28(0xca, 0, 1);
  EXPECT_EQ(rig.in(7), kFailed);
}

TEST(AtaDisk, TwoDrivesShareRegistersButNotCommands) {
  IdeRig rig;
  MemoryBackend other(2 * kMiB, rig.executor);
  rig.ide.attach_disk(0, 0, rig.disk);
  rig.ide.attach_disk(0, 1, other);
  rig.out(6, 0xf0);
  rig.out(7, 0xf8);
  EXPECT_EQ(rig.in(3) | rig.in(4) << 8, 2 * kMiB / 512 - 1);
  rig.out(6, 0xe0);
  EXPECT_EQ(rig.in(3), 0x01);  // drive 0 still shows its signature
  rig.out(7, 0x90);            // diagnostics: both
  EXPECT_EQ(rig.in(1), 0x01);
  EXPECT_TRUE(rig.irq.take_rises(0) != 0);
}

Result<void> save_and_load(DiskRig& from, DiskRig& to) {
  StateIo out = StateIo::saver();
  from.ide.transfer(out);
  StateIo in = StateIo::loader(out.bytes());
  to.ide.transfer(in);
  return in.finish();
}

TEST(AtaDisk, ARequestUnderWayIsMadeAgainAfterALoad) {
  DiskRig rig;
  const auto data = IdeRig::pattern(512, 50);
  ASSERT_TRUE(rig.disk.contents().write_flat(512, data));
  rig.command28(0x20, 1, 1);
  StateIo out = StateIo::saver();
  rig.ide.transfer(out);
  DiskRig other;
  ASSERT_TRUE(other.disk.contents().write_flat(512, data));
  StateIo in = StateIo::loader(out.bytes());
  other.ide.transfer(in);
  ASSERT_TRUE(in.finish());
  other.ide.resumed();
  other.executor.run();
  EXPECT_EQ(other.in(7), kReadyData);
  EXPECT_EQ(other.read_block(512), data);
}

TEST(AtaDisk, AFinishedPioTransferSavesAndLoads) {
  DiskRig rig;
  rig.command28(0x20, 1, 2);  // read
  rig.executor.run();
  rig.read_block(512);
  rig.read_block(512);
  DiskRig after_read;
  EXPECT_TRUE(save_and_load(rig, after_read));
  rig.command28(0x30, 1, 1);  // write
  rig.write_block(IdeRig::pattern(512, 3));
  rig.executor.run();
  DiskRig after_write;
  EXPECT_TRUE(save_and_load(rig, after_write));
}

struct TransferRig final : DeviceRig {
  IdeRig parts{kMiB};
  MemoryBackend slave{kMiB, parts.executor};
  TransferRig() {
    parts.ide.attach_disk(0, 0, parts.disk);
    parts.ide.attach_disk(1, 1, slave);
    parts.make_table(0, {{0x8000, 0}, {0x20000, 0}});
  }
  Device& device() override { return parts.ide; }
  std::vector<RigWindow> windows() override {
    return {{&parts.ide.command_ports(0), 8, IdeController::kCommandSizes},
            {&parts.ide.command_ports(1), 8, IdeController::kCommandSizes},
            {&parts.ide.control_ports(0), 1, IdeController::kByteSizes},
            {&parts.ide.control_ports(1), 1, IdeController::kByteSizes},
            {&parts.ide.bus_master(), 16, AccessSizes{1, 4, false}}};
  }
  void poke(u64) override { parts.executor.run(); }
};
INSTANTIATE_TEST_SUITE_P(IdeDisks, TransferTest,
                         testing::Values(device_under_test<TransferRig>("ide_disks")),
                         device_under_test_name);

}  // namespace
}  // namespace emu
