// SPDX-License-Identifier: Apache-2.0
// An AHCI controller as a driver meets it: Serial ATA AHCI 1.3.1, 3 to 6.
#include "devices/pci/pci_rig.h"
#include "devices/storage/ahci_controller.h"
#include "devices/storage/ata_spec.h"
#include "devices/storage/ide_rig.h"
#include "devices/transfer_test.h"

namespace emu {
namespace {

using namespace ahci;

struct AhciRig : PciRig {
  static constexpr u64 kRamBytes = 4 * kMiB, kBar = 0xfe000000;
  static constexpr u64 kList = 0x10000, kFises = 0x11000, kTables = 0x20000, kData = 0x100000;
  static constexpr u8 kDevfn = pci::devfn(6, 0);

  AhciRig()
      : disk(16 * kMiB, executor), recorder(disk, executor, [this](const BlockRequest& r) {
          ops.push_back(r.op);
          return fault;
        }) {
    memory->add(*ram_region, 0);
    device = std::make_unique<AhciController>(bus, kDevfn, "ahci-under-test");
    device->attach_disk(0, recorder, DriveIdentity{});
    device->reset();
    place_bars();
  }
  void place_bars() {
    write(kDevfn, 0x24, static_cast<u32>(kBar));
    write(kDevfn, 4, 6, 2);
  }
  void set(u32 offset, u32 value) { memory_space.store(kBar + offset, 4, value); }
  u32 get(u32 offset) { return static_cast<u32>(memory_space.load(kBar + offset, 4)); }
  u32 port(u32 offset) { return get(kPortBase + offset); }
  void set_port(u32 offset, u32 value) { set(kPortBase + offset, value); }

  void start() {
    set(kGhc, kGhcReset);
    ASSERT_EQ(get(kGhc), kGhcAhci);
    set(kGhc, kGhcAhci | kGhcInterrupts);
    set_port(kPxClb, kList);
    set_port(kPxFb, kFises);
    set_port(kPxIe, ~0u);
    set_port(kPxCmd, kCmdFre | kCmdSpinUp);
    set_port(kPxCmd, kCmdFre | kCmdSpinUp | kCmdStart);
  }
  struct Command {
    u8 code;
    u64 lba = 0;
    u16 count = 1;
    u16 features = 0;
    u8 device = 0x40;
  };
  // Lays out slot `slot`: one PRD of `bytes`.
  void lay_out(unsigned slot, const Command& c, u32 bytes, u64 data = kData) {
    const u64 table = kTables + slot * 0x100;
    const u8 fis[20] = {kFisRegisterToDevice,
                        0x80,
                        c.code,
                        static_cast<u8>(c.features),
                        static_cast<u8>(c.lba),
                        static_cast<u8>(c.lba >> 8),
                        static_cast<u8>(c.lba >> 16),
                        c.device,
                        static_cast<u8>(c.lba >> 24),
                        static_cast<u8>(c.lba >> 32),
                        static_cast<u8>(c.lba >> 40),
                        static_cast<u8>(c.features >> 8),
                        static_cast<u8>(c.count),
                        static_cast<u8>(c.count >> 8)};
    memory_space.write(table, fis);
    memory_space.store(table + kTablePrds, 8, data);
    memory_space.store(table + kTablePrds + 12, 4, bytes - 1);
    memory_space.store(kList + slot * kHeaderBytes, 4, 5u | (bytes == 0 ? 0 : 1u << 16));
    memory_space.store(kList + slot * kHeaderBytes + 4, 4, 0);
    memory_space.store(kList + slot * kHeaderBytes + 8, 8, table);
  }
  // One command in slot 0; the status that the port shows then.
  u8 run(const Command& c, u32 bytes) {
    lay_out(0, c, bytes);
    set_port(kPxCi, 1);
    executor.run();
    return static_cast<u8>(port(kPxTfd));
  }
  void queue(unsigned slot, bool is_write, u64 lba, u32 sectors, u64 data = kData) {
    lay_out(slot,
            {is_write ? kWriteFpdma : kReadFpdma, lba, static_cast<u16>(slot << 3),
             static_cast<u16>(sectors)},
            sectors * 512, data);
    set_port(kPxSact, 1u << slot);
    set_port(kPxCi, 1u << slot);
  }
  std::vector<u8> guest(u64 address, u64 bytes) {
    std::vector<u8> out(bytes);
    memory_space.read(address, out);
    return out;
  }
  std::vector<u8> fill_disk(u64 offset, u64 bytes, u8 seed) {
    auto data = IdeRig::pattern(bytes, seed);
    EXPECT_TRUE(disk.contents().write_flat(offset, data));
    return data;
  }
  std::vector<u8> on_disk(u64 offset, u64 bytes) {
    std::vector<u8> out(bytes);
    EXPECT_TRUE(disk.contents().read_flat(offset, out));
    return out;
  }
  [[nodiscard]] bool interrupt() const { return pirqs.level(PciBus::pirq_of(kDevfn, 1)); }
  void acknowledge() {
    set_port(kPxIs, ~0u);
    set(kIs, ~0u);
  }

  std::unique_ptr<GuestRam> ram = std::move(*GuestRam::create("ram", kRamBytes));
  std::unique_ptr<Region> ram_region = Region::ram("ram", *ram, 0, kRamBytes);
  ManualExecutor executor;
  MemoryBackend disk;
  FaultBackend recorder;
  std::vector<BlockOp> ops;
  std::optional<Error> fault;
  std::unique_ptr<AhciController> device;
};

TEST(Ahci, PortsShowWhatIsBehindThem) {
  AhciRig rig;
  EXPECT_EQ(rig.read(AhciRig::kDevfn, 0), 0x29228086u);
  rig.start();
  EXPECT_EQ(rig.port(kPxSsts), 0x123u);
  EXPECT_EQ(rig.port(kPxSig), 0x101u);
  EXPECT_EQ(rig.guest(AhciRig::kFises + kRxRegister, 1)[0], kFisRegisterToHost);
  EXPECT_EQ(rig.get(kPortBase + kPortBytes + kPxSsts), 0u) << "nothing on port 1";
}

TEST(Ahci, IdentifiesTheDiskByPio) {
  AhciRig rig;
  rig.start();
  EXPECT_EQ(rig.run({ata::kIdentifyDevice}, 512), 0x50);
  EXPECT_EQ(rig.memory_space.load(AhciRig::kData + 200, 8), 16 * kMiB / 512);
  EXPECT_EQ(rig.memory_space.load(AhciRig::kData + 150, 2), 31u) << "queue depth";
  u8 sum = 0;
  for (const u8 b : rig.guest(AhciRig::kData, 512)) sum = static_cast<u8>(sum + b);
  EXPECT_EQ(sum, 0);
  EXPECT_EQ(rig.memory_space.load(AhciRig::kList + 4, 4), 512u) << "bytes moved";
  EXPECT_EQ(rig.port(kPxIs) & kIsPio, kIsPio);
  EXPECT_TRUE(rig.interrupt());
  rig.acknowledge();
  EXPECT_FALSE(rig.interrupt());
}

TEST(Ahci, ReadsAndWritesByDma) {
  AhciRig rig;
  rig.start();
  const auto data = rig.fill_disk(3 * 512, 1024, 7);
  EXPECT_EQ(rig.run({ata::kReadDmaExt, 3, 2}, 1024), 0x50);
  EXPECT_EQ(rig.guest(AhciRig::kData, 1024), data);
  EXPECT_EQ(rig.port(kPxIs) & kIsDhr, kIsDhr);
  EXPECT_EQ(rig.run({ata::kWriteDma, 9, 2}, 1024), 0x50);
  EXPECT_EQ(rig.on_disk(9 * 512, 1024), data);
  rig.ops.clear();
  EXPECT_EQ(rig.run({ata::kWriteDmaFuaExt, 9, 2}, 1024), 0x50);
  EXPECT_EQ(rig.run({ata::kFlushCacheExt}, 0), 0x50);
  EXPECT_EQ(rig.ops, (std::vector{BlockOp::kWrite, BlockOp::kFlush, BlockOp::kFlush}));
}

TEST(Ahci, QueuedCommandsRunTogether) {
  AhciRig rig;
  rig.start();
  const auto first = rig.fill_disk(0, 512, 1);
  const auto second = rig.fill_disk(4096, 1024, 2);
  rig.queue(3, false, 0, 1);
  rig.queue(30, false, 8, 2, AhciRig::kData + 0x1000);
  EXPECT_EQ(rig.port(kPxCi), 0u) << "the disk has taken both";
  EXPECT_EQ(rig.port(kPxSact), 1u << 3 | 1u << 30);
  rig.executor.run();
  EXPECT_EQ(rig.port(kPxSact), 0u);
  EXPECT_EQ(rig.port(kPxIs) & kIsSdb, kIsSdb);
  EXPECT_EQ(rig.guest(AhciRig::kData, 512), first);
  EXPECT_EQ(rig.guest(AhciRig::kData + 0x1000, 1024), second);
}

TEST(Ahci, OtherCommandsWaitForTheOnesBefore) {
  AhciRig rig;
  rig.start();
  rig.lay_out(0, {ata::kWriteDmaExt, 0, 1}, 512);
  rig.lay_out(1, {ata::kReadDmaExt, 0, 1}, 512, AhciRig::kData + 0x1000);
  rig.memory_space.store(AhciRig::kData, 8, 0x1122334455667788);
  rig.set_port(kPxCi, 3);
  EXPECT_EQ(rig.ops, std::vector{BlockOp::kWrite});
  rig.executor.run();
  EXPECT_EQ(rig.port(kPxCi), 0u);
  EXPECT_EQ(rig.memory_space.load(AhciRig::kData + 0x1000, 8), 0x1122334455667788u);
}

TEST(Ahci, AnErrorStopsThePortUntilTheGuestHasLooked) {
  set_log_level(LogLevel::kError);
  AhciRig rig;
  rig.start();
  rig.fault = Error{EIO, "bad sector"};
  rig.queue(5, false, 0, 1);
  rig.executor.run();
  EXPECT_EQ(rig.port(kPxTfd), u32{ata::kUnc} << 8 | 0x51u);
  EXPECT_EQ(rig.port(kPxIs) & kIsTfe, kIsTfe);
  EXPECT_EQ(rig.port(kPxSact), 1u << 5) << "it did not end well";
  rig.fault.reset();
  rig.set_port(kPxCmd, kCmdFre);
  EXPECT_EQ(rig.port(kPxSact), 0u);
  rig.set_port(kPxCmd, kCmdFre | kCmdStart);
  EXPECT_EQ(rig.run({0x2f, 0x10, 1}, 512), 0x50);  // READ LOG EXT: the queued error log
  EXPECT_EQ(rig.guest(AhciRig::kData, 1)[0], 5) << "the failed tag";
  rig.queue(5, false, 0, 1);
  rig.executor.run();
  EXPECT_EQ(rig.port(kPxSact), 0u) << "a retry works";
  set_log_level(LogLevel::kWarning);
}

TEST(Ahci, BadCommandsAreAborted) {
  set_log_level(LogLevel::kError);
  const std::pair<AhciRig::Command, u32> bad[] = {
      {{ata::kReadDmaExt, 16 * kMiB / 512}, 512},
      {{ata::kReadDmaExt, 0, 2}, 512},  // memory for one sector only
      {{0xff}, 0},
      {{ata::kSetFeatures, 0, 1, 0x77}, 0},
  };
  for (const auto& [command, bytes] : bad) {
    AhciRig rig;
    rig.start();
    EXPECT_EQ(rig.run(command, bytes), 0x51);
    EXPECT_EQ(rig.port(kPxCi), 1u);
  }
  AhciRig rig;
  rig.start();
  rig.lay_out(0, {ata::kReadDmaExt}, 512, AhciRig::kBar);  // its own registers
  rig.set_port(kPxCi, 1);
  EXPECT_EQ(rig.port(kPxTfd) & 0xff, 0x51u);
  set_log_level(LogLevel::kWarning);
}

TEST(Ahci, TrimsRanges) {
  AhciRig rig;
  rig.start();
  rig.fill_disk(0, 8192, 3);
  rig.memory_space.store(AhciRig::kData, 8, u64{4} << 48 | 2);
  EXPECT_EQ(rig.run({ata::kDataSetManagement, 0, 1, 1}, 512), 0x50);
  EXPECT_EQ(rig.on_disk(1024, 2048), std::vector<u8>(2048));
  EXPECT_NE(rig.on_disk(3072, 512), std::vector<u8>(512));
}

TEST(Ahci, MessagesInsteadOfTheWire) {
  AhciRig rig;
  rig.start();
  rig.write(AhciRig::kDevfn, 0x84, 0xfee00000);
  rig.write(AhciRig::kDevfn, 0x8c, 0x51, 2);
  rig.write(AhciRig::kDevfn, 0x82, 1, 2);
  rig.run({ata::kFlushCache}, 0);
  EXPECT_FALSE(rig.interrupt());
  ASSERT_EQ(rig.messages.messages.size(), 1u);
  EXPECT_EQ(rig.messages.messages[0], (RecordingMsi::Message{0xfee00000, 0x51}));
}

// A CD drive on port 1 of a controller of its own.
struct AhciCdRig : AhciRig {
  AhciCdRig() : disc(1000 * 2048, executor, true) {
    device.reset();
    device = std::make_unique<AhciController>(bus, kDevfn, "ahci-under-test");
    cdrom = &device->attach_cdrom(0, &disc, DriveIdentity{"SN-8", "EMU CD-ROM", "1.0"});
    device->reset();
    place_bars();
    start();
  }
  u8 packet(std::vector<u8> command, u32 bytes) {
    command.resize(12);
    lay_out(0, {ata::kPacket, 0, 0, 1}, bytes);
    memory_space.write(kTables + kTablePacket, command);
    memory_space.store(kList, 4, 5u | 1u << 5 | (bytes == 0 ? 0 : 1u << 16));
    set_port(kPxCi, 1);
    executor.run();
    return static_cast<u8>(port(kPxTfd));
  }
  std::string sense() {
    set_port(kPxCmd, kCmdFre);
    set_port(kPxCmd, kCmdFre | kCmdStart);
    EXPECT_EQ(packet({0x03, 0, 0, 0, 18}, 18), 0x50);
    const auto s = guest(kData, 18);
    return fmt::format("{:x}/{:02x}/{:02x}", s[2], s[12], s[13]);
  }
  MemoryBackend disc;
  CdromUnit* cdrom = nullptr;
};

TEST(AhciCdrom, ReadsDiscs) {
  AhciCdRig rig;
  EXPECT_EQ(rig.port(kPxSig), 0xeb140101u);
  EXPECT_EQ(rig.run({ata::kIdentifyPacketDevice}, 512), 0x50);
  EXPECT_EQ(rig.memory_space.load(AhciRig::kData, 2), 0x85c0u);
  const auto data = IdeRig::pattern(4096, 9);
  ASSERT_TRUE(rig.disc.contents().write_flat(17 * 2048, data));
  EXPECT_EQ(rig.packet({0x28, 0, 0, 0, 0, 17, 0, 0, 2}, 4096), 0x50);
  EXPECT_EQ(rig.guest(AhciRig::kData, 4096), data);
  EXPECT_EQ(rig.memory_space.load(AhciRig::kList + 4, 4), 4096u) << "bytes moved";
  EXPECT_EQ(rig.guest(AhciRig::kFises + kRxRegister + 12, 1)[0], 3) << "interrupt reason";
  EXPECT_EQ(rig.packet({0xbe, 0, 0, 0, 0, 17, 0, 0, 1, 0xf8}, 2352), 0x50);
  EXPECT_EQ(rig.guest(AhciRig::kData + 16, 2048),
            std::vector<u8>(data.begin(), data.begin() + 2048));
  EXPECT_EQ(rig.packet({0x12, 0, 0, 0, 36}, 36), 0x50);
  EXPECT_EQ(rig.guest(AhciRig::kData, 2), (std::vector<u8>{0x05, 0x80}));
}

TEST(AhciCdrom, FailuresCarrySenseAndNewDiscsAreAnnounced) {
  set_log_level(LogLevel::kError);
  AhciCdRig rig;
  EXPECT_EQ(rig.packet({0xff}, 0), 0x51);
  EXPECT_EQ(rig.port(kPxTfd) >> 8, 0x54u);
  EXPECT_EQ(rig.sense(), "5/20/00");
  EXPECT_EQ(rig.run({ata::kIdentifyDevice}, 512), 0x51) << "this is no disk";
  EXPECT_EQ(rig.sense(), "0/00/00");
  rig.cdrom->change_medium(nullptr);
  EXPECT_EQ(rig.packet({0x00}, 0), 0x51);
  EXPECT_EQ(rig.sense(), "2/3a/02");
  rig.cdrom->change_medium(&rig.disc);
  EXPECT_EQ(rig.packet({0x00}, 0), 0x51);
  EXPECT_EQ(rig.sense(), "6/28/00");
  EXPECT_EQ(rig.packet({0x00}, 0), 0x50);
  FaultBackend faulty(rig.disc, rig.executor, [](const BlockRequest&) { return Error{EIO, "x"}; });
  rig.cdrom->change_medium(&faulty);
  EXPECT_EQ(rig.packet({0x00}, 0), 0x51);
  EXPECT_EQ(rig.sense(), "6/28/00");
  EXPECT_EQ(rig.packet({0x28, 0, 0, 0, 0, 17, 0, 0, 2}, 4096), 0x51);
  EXPECT_EQ(rig.sense(), "3/11/00");
  rig.cdrom->change_medium(nullptr);
  set_log_level(LogLevel::kWarning);
}

struct AhciCdUnderTest final : DeviceRig {
  Device& device() override { return *rig.device; }
  std::vector<PciFunction*> functions() override { return {rig.device.get()}; }
  void poke(u64 random) override {
    rig.place_bars();
    if (random % 16 == 1) rig.start();
    rig.set_port(kPxCmd, kCmdFre);
    rig.set_port(kPxCmd, kCmdFre | kCmdStart);
    rig.packet({static_cast<u8>(random >> 8), 0, static_cast<u8>(random >> 16 & 3), 0, 0,
                static_cast<u8>(random >> 24), 0, 0, static_cast<u8>(random >> 32 & 3), 0x10},
               4096);
  }
  AhciCdRig rig;
};
INSTANTIATE_TEST_SUITE_P(AhciCdrom, TransferTest,
                         testing::Values(device_under_test<AhciCdUnderTest>("ahci_cdrom")),
                         device_under_test_name);

struct AhciUnderTest final : DeviceRig {
  Device& device() override { return *rig.device; }
  std::vector<PciFunction*> functions() override { return {rig.device.get()}; }
  void poke(u64 random) override {
    rig.place_bars();
    if (random % 4 == 0) rig.executor.run();
    if (random % 16 == 1) {
      rig.set_port(kPxClb, AhciRig::kList);
      rig.set_port(kPxFb, AhciRig::kFises);
      rig.set_port(kPxCmd, kCmdFre | kCmdStart);
    }
    if (random % 8 == 2) {
      const unsigned slot = random >> 8 & 31;
      rig.lay_out(slot, {static_cast<u8>(random >> 16), random >> 24 & 0xff, 1}, 512);
      rig.set_port(kPxCi, 1u << slot);
    }
    if (random % 8 == 3) rig.queue(random >> 8 & 31, (random >> 16 & 1) != 0, random >> 20 & 31, 1);
    rig.set(static_cast<u32>(random >> 20 & 0x1fc), static_cast<u32>(random >> 32));
  }
  AhciRig rig;
};
INSTANTIATE_TEST_SUITE_P(Ahci, TransferTest,
                         testing::Values(device_under_test<AhciUnderTest>("ahci")),
                         device_under_test_name);

}  // namespace
}  // namespace emu
