// SPDX-License-Identifier: Apache-2.0
// CD-ROM register scripts, as SeaBIOS and Linux's sr driver would run them.
#include "devices/storage/ide_rig.h"
#include "devices/transfer_test.h"

namespace emu {
namespace {

constexpr u8 kReady = 0x50;
constexpr u8 kReadyData = 0x58;
constexpr u8 kFailed = 0x51;
constexpr u64 kBlocks = 1000;

struct CdRig : IdeRig {
  CdRig() : IdeRig(kBlocks * 2048) {
    cdrom = &ide.attach_cdrom(0, 0, &disk);
    ide.reset();
  }
  // Sends a packet; the rest of the twelve bytes is zero.
  void packet(std::vector<u8> bytes, u16 limit = 0xfffe, bool dma = false) {
    bytes.resize(12);
    out(6, 0xa0);
    out(1, dma ? 1 : 0);
    out(4, limit);
    out(5, limit >> 8u);
    out(7, 0xa0);
    ASSERT_EQ(in(7), kReadyData);
    ASSERT_EQ(in(2), 0x01);  // command, to the device
    write_block(bytes);
    executor.run();
  }
  // All data blocks of the answer, then the final status.
  std::vector<u8> answer() {
    std::vector<u8> all;
    while ((in(7) & 0x08) != 0) {
      EXPECT_EQ(in(2), 0x02);  // data, to the host
      const u64 n = in(4) | in(5) << 8u;
      for (u64 i = 0; i < n; i += 2) {
        const u32 word = in_data(2);
        all.push_back(static_cast<u8>(word));
        if (i + 1 < n) all.push_back(static_cast<u8>(word >> 8));
      }
      executor.run();
    }
    EXPECT_EQ(in(2), 0x03);  // status, to the host
    return all;
  }
  std::vector<u8> ask(std::vector<u8> bytes) {
    packet(std::move(bytes));
    return answer();
  }
  // "key/code/qualifier" of the last failure.
  std::string sense() {
    const auto s = ask({0x03, 0, 0, 0, 18});
    return fmt::format("{:x}/{:02x}/{:02x}", s[2], s[12], s[13]);
  }
  AtapiCdrom* cdrom = nullptr;
};

TEST(AtapiCdrom, ShowsItsSignatureAndIdentifies) {
  CdRig rig;
  EXPECT_EQ(rig.in(7), 0);  // not ready before a command
  EXPECT_EQ(rig.in(4), 0x14);
  EXPECT_EQ(rig.in(5), 0xeb);
  rig.out(7, 0xec);  // IDENTIFY DEVICE
  EXPECT_EQ(rig.in(7), kFailed);
  EXPECT_EQ(rig.in(4), 0x14);
  rig.out(7, 0xa1);
  EXPECT_TRUE(rig.irq.level(0));
  EXPECT_EQ(rig.in(7), kReadyData);
  const auto id = rig.read_block(512);
  EXPECT_EQ(load_le<u16>(id.data()), 0x85c0);
  EXPECT_EQ(rig.in(7), kReady);
  rig.out(7, 0x08);  // DEVICE RESET
  EXPECT_EQ(rig.in(7), 0);
}

TEST(AtapiCdrom, InquiryInterruptsForPacketDataAndStatus) {
  CdRig rig;
  rig.packet({0x12, 0, 0, 0, 36});
  EXPECT_EQ(rig.irq.take_rises(0), 1u);
  const auto reply = rig.answer();
  EXPECT_EQ(rig.irq.take_rises(0), 1u);
  ASSERT_EQ(reply.size(), 36u);
  EXPECT_EQ(reply[0], 0x05);
  EXPECT_EQ(reply[1], 0x80);
  EXPECT_EQ(std::string(reply.begin() + 16, reply.begin() + 26), "EMU CD-ROM");
}

TEST(AtapiCdrom, ReadsBlocksInPiecesOfTheByteLimit) {
  CdRig rig;
  const auto data = IdeRig::pattern(3 * 2048, 8);
  ASSERT_TRUE(rig.disk.contents().write_flat(17 * 2048, data));
  rig.packet({0x28, 0, 0, 0, 0, 17, 0, 0, 3}, 2048);
  rig.in(7);
  EXPECT_EQ(rig.irq.take_rises(0), 1u);
  EXPECT_EQ(rig.in(4) | rig.in(5) << 8, 2048);
  EXPECT_EQ(rig.answer(), data);
  EXPECT_EQ(rig.irq.take_rises(0), 3u);  // two more blocks, and the end
  EXPECT_EQ(rig.ask({0xa8, 0, 0, 0, 0, 17, 0, 0, 0, 3}), data);
  StateIo out = StateIo::saver();
  rig.ide.transfer(out);
  StateIo in = StateIo::loader(out.bytes());
  CdRig other;
  other.ide.transfer(in);
  EXPECT_TRUE(in.finish()) << "a finished transfer saves and loads";
}

TEST(AtapiCdrom, ReadsWithDma) {
  CdRig rig;
  const auto data = IdeRig::pattern(4 * 2048, 9);
  ASSERT_TRUE(rig.disk.contents().write_flat(0, data));
  rig.make_table(0x1000, {{0x10000, 4096}, {0x18000, 4096}});
  rig.master_out(4, 4, 0x1000);
  rig.packet({0x28, 0, 0, 0, 0, 0, 0, 0, 4}, 0, true);
  EXPECT_EQ(rig.alternate(), 0xd0);
  rig.master_out(0, 1, 0x09);
  rig.executor.run();
  EXPECT_EQ(rig.master_in(2), 0x04);
  EXPECT_EQ(rig.in(7), kReady);
  EXPECT_EQ(rig.guest(0x10000, 4096), std::vector<u8>(data.begin(), data.begin() + 4096));
  EXPECT_EQ(rig.guest(0x18000, 4096), std::vector<u8>(data.begin() + 4096, data.end()));
  rig.master_out(0, 1, 0);
  rig.packet({0x12, 0, 0, 0, 36}, 0, true);  // an answer through DMA
  rig.master_out(0, 1, 0x09);
  EXPECT_EQ(rig.in(7), kReady);
  EXPECT_EQ(rig.guest(0x10000, 2), (std::vector<u8>{0x05, 0x80}));
}

TEST(AtapiCdrom, ReadsRawBlocks) {
  CdRig rig;
  const auto data = IdeRig::pattern(60 * 2048, 4);
  ASSERT_TRUE(rig.disk.contents().write_flat(16 * 2048, data));
  const auto raw = rig.ask({0xbe, 0, 0, 0, 0, 16, 0, 0, 60, 0xf8});
  ASSERT_EQ(raw.size(), 60u * 2352);
  EXPECT_EQ(raw[12], 0x00);
  EXPECT_EQ(raw[13], 0x02);  // two seconds and 16 frames
  EXPECT_EQ(raw[14], 0x16);
  EXPECT_EQ(raw[15], 1);
  const auto* last = &raw[59 * 2352 + 16];
  EXPECT_TRUE(std::equal(last, last + 2048, data.end() - 2048));
  EXPECT_EQ(rig.ask({0xbe, 0, 0, 0, 0, 16, 0, 0, 1, 0x10}).size(), 2048u);
}

TEST(AtapiCdrom, TellsAboutTheDisc) {
  CdRig rig;
  EXPECT_EQ(rig.ask({0x25}), (std::vector<u8>{0, 0, 3, 0xe7, 0, 0, 8, 0}));
  const auto toc = rig.ask({0x43, 0, 0, 0, 0, 0, 0, 0, 100});
  EXPECT_EQ(toc, (std::vector<u8>{0, 18, 1, 1,    0,    0x14, 1, 0, 0, 0,
                                  0, 0,  0, 0x14, 0xaa, 0,    0, 0, 3, 0xe8}));
  EXPECT_EQ(rig.ask({0x43, 2, 0, 0, 0, 0, 0xaa, 0, 12}),
            (std::vector<u8>{0, 10, 1, 1, 0, 0x14, 0xaa, 0, 0, 0, 15, 25}));
  EXPECT_EQ(rig.ask({0x43, 0, 1, 0, 0, 0, 0, 0, 12}).size(), 12u);
  EXPECT_EQ(rig.ask({0x43, 0, 2, 0, 0, 0, 0, 0, 100}).size(), 48u);
  const auto configuration = rig.ask({0x46, 0, 0, 0, 0, 0, 0, 0, 200});
  EXPECT_EQ(load_be<u32>(configuration.data()), configuration.size() - 4);
  EXPECT_EQ(configuration[7], 8);  // profile CD-ROM
  EXPECT_EQ(rig.ask({0x5a, 0, 0x2a, 0, 0, 0, 0, 0, 100})[8], 0x2a);
  EXPECT_EQ(rig.ask({0x51, 0, 0, 0, 0, 0, 0, 0, 34}).size(), 34u);
  EXPECT_EQ(rig.ask({0xbd, 0, 0, 0, 0, 0, 0, 0, 0, 8}).size(), 8u);
}

TEST(AtapiCdrom, FailuresCarrySense) {
  CdRig rig;
  rig.packet({0xff});
  EXPECT_EQ(rig.in(7), kFailed);
  EXPECT_EQ(rig.in(1), 0x54);
  EXPECT_EQ(rig.in(2), 0x03);
  EXPECT_EQ(rig.sense(), "5/20/00");
  EXPECT_EQ(rig.sense(), "0/00/00");  // told once
  rig.packet({0x28, 0, 0, 0, 3, 0xe7, 0, 0, 2});
  EXPECT_EQ(rig.sense(), "5/21/00");
  rig.packet({0x43, 0, 9, 0, 0, 0, 0, 0, 12});
  EXPECT_EQ(rig.sense(), "5/24/00");
}

TEST(AtapiCdrom, AnEmptyDriveAndANewDisc) {
  CdRig rig;
  rig.cdrom->unit().change_medium(nullptr);
  rig.packet({0x00});
  EXPECT_EQ(rig.in(7), kFailed);
  EXPECT_EQ(rig.sense(), "2/3a/02");
  rig.cdrom->unit().change_medium(&rig.disk);
  const auto event = rig.ask({0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8});
  EXPECT_EQ(event, (std::vector<u8>{0, 6, 4, 0x10, 2, 2, 0, 0}));
  rig.packet({0x00});
  EXPECT_EQ(rig.in(7), kFailed);
  EXPECT_EQ(rig.sense(), "6/28/00");
  rig.packet({0x00});
  EXPECT_EQ(rig.in(7), kReady);
}

TEST(AtapiCdrom, ALockedTrayStaysShut) {
  CdRig rig;
  rig.packet({0x1e, 0, 0, 0, 1});
  EXPECT_TRUE(rig.cdrom->unit().is_locked());
  rig.packet({0x1b, 0, 0, 0, 2});
  EXPECT_EQ(rig.sense(), "5/53/02");
  rig.cdrom->unit().request_eject();
  EXPECT_EQ(rig.ask({0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8})[4], 1);
  rig.packet({0x1e, 0, 0, 0, 0});
  rig.packet({0x1b, 0, 0, 0, 2});
  EXPECT_EQ(rig.in(7), kReady);
  EXPECT_TRUE(rig.cdrom->unit().is_tray_open());
  rig.packet({0x1b, 0, 0, 0, 3});
  rig.packet({0x00});
  EXPECT_EQ(rig.sense(), "6/28/00");
}

TEST(AtapiCdrom, AHostErrorIsAMediumError) {
  set_log_level(LogLevel::kError);
  CdRig cd;
  FaultBackend faulty(cd.disk, cd.executor, [](const BlockRequest&) {
    return Error{5, "made to fail"};
  });
  cd.cdrom->unit().change_medium(&faulty);
  cd.packet({0x03, 0, 0, 0, 18});
  cd.answer();
  cd.packet({0x28, 0, 0, 0, 0, 0, 0, 0, 1});
  EXPECT_EQ(cd.in(7), kFailed);
  EXPECT_EQ(cd.sense(), "3/11/00");
}

struct CdTransferRig final : DeviceRig {
  CdRig parts;
  CdTransferRig() { parts.make_table(0, {{0x8000, 0}, {0x20000, 0}}); }
  Device& device() override { return parts.ide; }
  std::vector<RigWindow> windows() override {
    return {{&parts.ide.command_ports(0), 8, IdeController::kCommandSizes},
            {&parts.ide.control_ports(0), 1, IdeController::kByteSizes},
            {&parts.ide.bus_master(), 16, AccessSizes{1, 4, false}}};
  }
  void poke(u64 random) override {
    if (random % 4 == 0) {
      static constexpr u8 kOperations[] = {0x00, 0x03, 0x12, 0x1b, 0x25, 0x28,
                                           0x43, 0x46, 0x4a, 0x5a, 0xbe, 0xbd};
      std::vector<u8> packet(12);
      for (unsigned i = 0; i < 12; ++i) packet[i] = static_cast<u8>(random >> (5 * i) & 3);
      packet[0] = kOperations[random % sizeof kOperations];
      parts.out(6, 0xa0);
      parts.out(1, random >> 40 & 1);
      parts.out(7, 0xa0);
      parts.write_block(packet);
    }
    parts.executor.run();
  }
};
INSTANTIATE_TEST_SUITE_P(IdeCdrom, TransferTest,
                         testing::Values(device_under_test<CdTransferRig>("ide_cdrom")),
                         device_under_test_name);

}  // namespace
}  // namespace emu
