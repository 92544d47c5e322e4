// SPDX-License-Identifier: Apache-2.0
// A virtio SCSI host with a disk at target 0 (unit 0) and a CD drive at target 1 (unit 2), as a
// driver meets them: VIRTIO 1.2, 5.6; SBC-3; MMC-3.
#include "devices/virtio/virtio_scsi.h"

#include "devices/transfer_test.h"
#include "devices/virtio/virtio_rig.h"
#include "devices/virtio/virtio_scsi_spec.h"

namespace emu {
namespace {

using namespace virtio_scsi;

constexpr u64 kRequestAt = 0x100000, kAnswerAt = 0x101000, kDataAt = 0x110000, kEventAt = 0x102000;
constexpr u64 kDiskBytes = 8 * kMiB;
constexpr VirtioScsi::Place kDisk{0, 0}, kCd{1, 2};

struct ScsiRig : VirtioRig {
  explicit ScsiRig(bool read_only = false)
      : disk(kDiskBytes, executor, read_only),
        recorder(disk, executor,
                 [this](const BlockRequest& r) {
                   ops.push_back(r.op);
                   return fault;
                 }),
        disc(1000 * 2048, executor, true) {
    auto device = std::make_unique<VirtioScsi>(memory_space, 2);
    device->attach_disk(kDisk, recorder, DriveIdentity{"SN-7", "EMU HARDDISK", "1.0"});
    cdrom = &device->attach_cdrom(kCd, &disc, DriveIdentity{"SN-8", "EMU CD-ROM", "1.0"});
    host = device.get();
    plug(std::move(device));
  }
  void put_unit(u64 at, VirtioScsi::Place place) {
    const u8 address[8] = {1, place.target, 0x40, place.lun};
    memory_space.write(at, address);
  }
  struct Result {
    u8 response;
    u8 status;
    u32 residual;
    std::string sense;
    u32 used;
  };
  // Lays a request out; the answer is all EEh before.
  void lay_out(VirtioScsi::Place place, std::vector<u8> command, u64 tag = 1) {
    command.resize(32);
    put_unit(kRequestAt, place);
    memory_space.store(kRequestAt + 8, 8, tag);
    memory_space.write(kRequestAt + kHeaderBytes, command);
    const std::vector<u8> nothing(kResponseBytes + kSenseBytes, 0xee);
    memory_space.write(kAnswerAt, nothing);
  }
  std::vector<Piece> pieces(u32 bytes, bool to_device) const {
    std::vector<Piece> out{{kRequestAt, kHeaderBytes + kCommandBytes}};
    if (to_device && bytes != 0) out.push_back({kDataAt, bytes});
    out.push_back({kAnswerAt, kResponseBytes + kSenseBytes, true});
    if (!to_device && bytes != 0) out.push_back({kDataAt, bytes, true});
    return out;
  }
  Result run(VirtioScsi::Place place, std::vector<u8> command, u32 bytes = 0,
             bool to_device = false) {
    lay_out(place, std::move(command));
    offer(2, pieces(bytes, to_device));
    notify(2);
    executor.run();
    return result();
  }
  Result result() {
    const auto a = guest(kAnswerAt, kResponseBytes + kSenseBytes);
    const u32 sense = load_le<u32>(&a[0]);
    return {a[11], a[10], load_le<u32>(&a[4]),
            sense == 0 ? "" : fmt::format("{:x}/{:02x}/{:02x}", a[14], a[24], a[25]),
            used(2, static_cast<u16>(used_index(2) - 1)).length};
  }
  u8 manage(u32 what, VirtioScsi::Place place, u64 tag = 0) {
    memory_space.store(kRequestAt, 4, kTaskManagement);
    memory_space.store(kRequestAt + 4, 4, what);
    put_unit(kRequestAt + 8, place);
    memory_space.store(kRequestAt + 16, 8, tag);
    memory_space.store(kEventAt + 0x100, 1, 0xee);
    offer(0, {{kRequestAt, 24}, {kEventAt + 0x100, 1, true}});
    notify(0);
    return static_cast<u8>(memory_space.load(kEventAt + 0x100, 1));
  }
  std::vector<u8> guest(u64 address, u64 bytes) {
    std::vector<u8> out(bytes);
    memory_space.read(address, out);
    return out;
  }
  std::vector<u8> on_disk(u64 offset, u64 bytes) {
    std::vector<u8> out(bytes);
    EXPECT_TRUE(disk.contents().read_flat(offset, out));
    return out;
  }
  std::vector<u8> fill(MemoryBackend& where, u64 offset, u64 bytes, u8 seed) {
    auto data = IdeRig::pattern(bytes, seed);
    EXPECT_TRUE(where.contents().write_flat(offset, data));
    return data;
  }
  std::vector<BlockOp> take_ops() { return std::exchange(ops, {}); }

  ManualExecutor executor;
  MemoryBackend disk;
  FaultBackend recorder;
  std::vector<BlockOp> ops;
  std::optional<Error> fault;
  MemoryBackend disc;
  CdromUnit* cdrom = nullptr;
  VirtioScsi* host = nullptr;
};

TEST(VirtioScsi, ShowsItsIdsAndConfiguration) {
  ScsiRig rig;
  EXPECT_EQ(rig.read(VirtioRig::kDevfn, 0), 0x10041af4u);
  EXPECT_EQ(rig.device_config(0, 4), 2u) << "request queues";
  EXPECT_EQ(rig.device_config(20, 4), 96u) << "sense";
  EXPECT_EQ(rig.device_config(24, 4), 32u) << "command";
  EXPECT_EQ(rig.device_config(30, 2), 1u) << "last target";
  EXPECT_EQ(rig.common(virtio::kNumQueues, 2), 4u);
}

TEST(VirtioScsi, ReadsAndWritesInEveryLength) {
  ScsiRig rig;
  rig.start(0);
  const auto data = rig.fill(rig.disk, 7 * 512, 1024, 3);
  const std::vector<std::vector<u8>> reads{{0x08, 0, 0, 7, 2},
                                           {0x28, 0, 0, 0, 0, 7, 0, 0, 2},
                                           {0xa8, 0, 0, 0, 0, 7, 0, 0, 0, 2},
                                           {0x88, 0, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 2}};
  for (const auto& command : reads) {
    rig.memory_space.write(kDataAt, std::vector<u8>(1024));
    const auto r = rig.run(kDisk, command, 1024);
    EXPECT_EQ(r.response, kOk);
    EXPECT_EQ(r.status, scsi::kGood);
    EXPECT_EQ(r.residual, 0u);
    EXPECT_EQ(r.used, 12u + 96u + 1024u);
    EXPECT_EQ(rig.guest(kDataAt, 1024), data);
  }
  const std::vector<std::vector<u8>> writes{{0x0a, 0, 0, 9, 2},
                                            {0x2a, 0, 0, 0, 0, 9, 0, 0, 2},
                                            {0xaa, 0, 0, 0, 0, 9, 0, 0, 0, 2},
                                            {0x8a, 0, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 2}};
  u8 seed = 40;
  for (const auto& command : writes) {
    const auto fresh = IdeRig::pattern(1024, ++seed);
    rig.memory_space.write(kDataAt, fresh);
    const auto r = rig.run(kDisk, command, 1024, true);
    EXPECT_EQ(r.status, scsi::kGood);
    EXPECT_EQ(r.used, 12u + 96u) << "nothing but the response is written";
    EXPECT_EQ(rig.on_disk(9 * 512, 1024), fresh);
  }
}

TEST(VirtioScsi, FlushesWhenAskedAndWhenTheCacheIsOff) {
  ScsiRig rig;
  rig.start(0);
  rig.run(kDisk, {0x2a, 0, 0, 0, 0, 0, 0, 0, 1}, 512, true);
  EXPECT_EQ(rig.take_ops(), std::vector{BlockOp::kWrite});
  rig.run(kDisk, {0x2a, 8, 0, 0, 0, 0, 0, 0, 1}, 512, true);  // FUA
  EXPECT_EQ(rig.take_ops(), (std::vector{BlockOp::kWrite, BlockOp::kFlush}));
  rig.run(kDisk, {0x35});
  EXPECT_EQ(rig.take_ops(), std::vector{BlockOp::kFlush});
  rig.run(kDisk, {0x1a, 8, 8, 0, 64}, 64);
  auto page = rig.guest(kDataAt, 24);
  EXPECT_EQ(page[4], 8);
  EXPECT_EQ(page[6] & 4, 4) << "write cache";
  page[0] = 0;
  page[6] = 0;
  rig.memory_space.write(kDataAt, page);
  EXPECT_EQ(rig.run(kDisk, {0x15, 0x10, 0, 0, 24}, 24, true).status, scsi::kGood);
  EXPECT_EQ(rig.take_ops(), std::vector{BlockOp::kFlush}) << "nothing may wait in it";
  rig.run(kDisk, {0x2a, 0, 0, 0, 0, 0, 0, 0, 1}, 512, true);
  EXPECT_EQ(rig.take_ops(), (std::vector{BlockOp::kWrite, BlockOp::kFlush}));
}

TEST(VirtioScsi, UnmapsAndWritesTheSame) {
  ScsiRig rig;
  rig.start(0);
  rig.fill(rig.disk, 0, 64 * kKiB, 1);
  std::vector<u8> list(24);
  store_be<u16>(&list[0], 22);
  store_be<u16>(&list[2], 16);
  store_be<u64>(&list[8], 2);
  store_be<u32>(&list[16], 3);
  rig.memory_space.write(kDataAt, list);
  EXPECT_EQ(rig.run(kDisk, {0x42, 0, 0, 0, 0, 0, 0, 0, 24}, 24, true).status, scsi::kGood);
  EXPECT_EQ(rig.on_disk(2 * 512, 3 * 512), std::vector<u8>(3 * 512));
  EXPECT_NE(rig.on_disk(5 * 512, 512), std::vector<u8>(512));
  const auto block = IdeRig::pattern(512, 99);
  rig.memory_space.write(kDataAt, block);
  const std::vector<u8> same{0x93, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0, 1, 44};  // 300 blocks
  EXPECT_EQ(rig.run(kDisk, same, 512, true).status, scsi::kGood);
  for (const u64 at : {16, 150, 315}) EXPECT_EQ(rig.on_disk(at * 512, 512), block) << at;
  EXPECT_NE(rig.on_disk(316 * 512, 512), block);
  rig.take_ops();
  rig.memory_space.write(kDataAt, std::vector<u8>(512));
  rig.run(kDisk, same, 512, true);
  EXPECT_EQ(rig.take_ops(), std::vector{BlockOp::kWriteZeroes}) << "zeros take no writing";
  store_be<u64>(&list[8], kDiskBytes / 512);
  rig.memory_space.write(kDataAt, list);
  EXPECT_EQ(rig.run(kDisk, {0x42, 0, 0, 0, 0, 0, 0, 0, 24}, 24, true).sense, "5/21/00");
}

TEST(VirtioScsi, TellsAboutItself) {
  ScsiRig rig;
  rig.start(0);
  const auto ask = [&](VirtioScsi::Place place, std::vector<u8> command) {
    const auto r = rig.run(place, std::move(command), 255);
    EXPECT_EQ(r.status, scsi::kGood);
    return rig.guest(kDataAt, 255 - r.residual);
  };
  const auto inquiry = ask(kDisk, {0x12, 0, 0, 0, 255});
  ASSERT_EQ(inquiry.size(), 36u);
  EXPECT_EQ(std::string(inquiry.begin() + 8, inquiry.begin() + 28), "EMU     EMU HARDDISK");
  EXPECT_EQ(ask(kCd, {0x12, 0, 0, 0, 255})[0], 5);
  const auto pages = ask(kDisk, {0x12, 1, 0, 0, 255});
  for (std::size_t i = 4; i < pages.size(); ++i) {
    const auto page = ask(kDisk, {0x12, 1, pages[i], 0, 255});
    EXPECT_EQ(page[1], pages[i]);
    EXPECT_EQ(page.size(), 4u + load_be<u16>(&page[2])) << int{pages[i]};
  }
  EXPECT_EQ(
      std::string_view(reinterpret_cast<const char*>(&ask(kDisk, {0x12, 1, 0x80, 0, 255})[4]), 4),
      "SN-7");
  const auto small = ask(kDisk, {0x25});
  EXPECT_EQ(load_be<u32>(&small[0]), kDiskBytes / 512 - 1);
  const auto large = ask(kDisk, {0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255});
  ASSERT_EQ(large.size(), 32u);
  EXPECT_EQ(load_be<u64>(&large[0]), kDiskBytes / 512 - 1);
  EXPECT_EQ(large[14] & 0x80, 0x80) << "thin";
  EXPECT_EQ(ask(kDisk, {0x5a, 0, 0x3f, 0, 0, 0, 0, 0, 255})[7], 8) << "a block descriptor";
}

TEST(VirtioScsi, UnitsAreWhereTheyAre) {
  ScsiRig rig;
  rig.start(0);
  rig.run({1, 0}, {0xa0, 0, 0, 0, 0, 0, 0, 0, 0, 64}, 64);
  EXPECT_EQ(rig.guest(kDataAt, 24), (std::vector<u8>{0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0,
                                                     0, 0, 0, 0,  0, 2, 0, 0, 0, 0, 0, 0}));
  EXPECT_EQ(rig.run({9, 0}, {0x00}).response, kBadTarget);
  EXPECT_EQ(rig.run({1, 0}, {0x00}).sense, "5/25/00");
  rig.run({1, 0}, {0x12, 0, 0, 0, 36}, 36);
  EXPECT_EQ(rig.guest(kDataAt, 1)[0], 0x7f) << "nobody there";
}

TEST(VirtioScsi, FailuresCarrySense) {
  set_log_level(LogLevel::kError);
  ScsiRig rig;
  rig.start(0);
  EXPECT_EQ(rig.run(kDisk, {0xff}).sense, "5/20/00");
  EXPECT_EQ(rig.run(kDisk, {0x28, 0, 0, 0, 0x40, 0, 0, 0, 1}, 512).sense, "5/21/00");
  EXPECT_EQ(rig.run(kDisk, {0x28, 0, 0, 0, 0, 0, 0, 0, 2}, 512).response, kOverrun);
  rig.fault = Error{EIO, "bad sector"};
  EXPECT_EQ(rig.run(kDisk, {0x28, 0, 0, 0, 0, 0, 0, 0, 1}, 512).sense, "3/11/00");
  rig.fault = Error{ENOSPC, "no space"};
  EXPECT_EQ(rig.run(kDisk, {0x2a, 0, 0, 0, 0, 0, 0, 0, 1}, 512, true).sense, "3/0c/00");
  EXPECT_EQ(rig.run(kDisk, {0x35}).sense, "3/0c/00") << "a flush that failed";
  rig.fault.reset();
  EXPECT_EQ(rig.run(kDisk, {0x28, 0, 0, 0, 0, 0, 0, 0, 1}, 512).status, scsi::kGood);
  ScsiRig fixed(true);
  fixed.start(0);
  EXPECT_EQ(fixed.run(kDisk, {0x2a, 0, 0, 0, 0, 0, 0, 0, 1}, 512, true).sense, "7/27/00");
  fixed.run(kDisk, {0x1a, 8, 8, 0, 64}, 64);
  EXPECT_EQ(fixed.guest(kDataAt, 4)[2] & 0x80, 0x80) << "write protected";
  set_log_level(LogLevel::kWarning);
}

TEST(VirtioScsi, ReadsDiscsAndHearsOfNewOnes) {
  ScsiRig rig;
  const auto data = rig.fill(rig.disc, 16 * 2048, 4096, 5);
  rig.start(kFeatureChange);
  EXPECT_EQ(rig.run(kCd, {0x28, 0, 0, 0, 0, 16, 0, 0, 2}, 4096).status, scsi::kGood);
  EXPECT_EQ(rig.guest(kDataAt, 4096), data);
  EXPECT_EQ(rig.run(kCd, {0xbe, 0, 0, 0, 0, 16, 0, 0, 1, 0xf8}, 2352).status, scsi::kGood);
  EXPECT_EQ(rig.guest(kDataAt + 16, 2048), std::vector<u8>(data.begin(), data.begin() + 2048));
  rig.offer(1, {{kEventAt, 16, true}});
  rig.notify(1);
  rig.cdrom->change_medium(nullptr);
  EXPECT_EQ(rig.memory_space.load(kEventAt, 4), kEventParameters);
  EXPECT_EQ(rig.guest(kEventAt + 4, 4), (std::vector<u8>{1, 1, 0x40, 2}));
  EXPECT_EQ(rig.memory_space.load(kEventAt + 12, 4), 0x28u);
  EXPECT_EQ(rig.run(kCd, {0x00}).sense, "2/3a/02");
  rig.cdrom->change_medium(&rig.disc);  // nobody has a buffer for this
  EXPECT_EQ(rig.run(kCd, {0x00}).sense, "6/28/00");
  EXPECT_EQ(rig.run(kCd, {0x00}).status, scsi::kGood);
  rig.offer(1, {{kEventAt, 16, true}}, 1);
  rig.notify(1);
  EXPECT_EQ(rig.memory_space.load(kEventAt, 4), kEventsMissed);
}

TEST(VirtioScsi, TasksAreAborted) {
  ScsiRig rig;
  rig.start(0);
  rig.lay_out(kDisk, {0x28, 0, 0, 0, 0, 0, 0, 0, 1}, 77);
  rig.offer(2, rig.pieces(512, false));
  rig.notify(2);
  EXPECT_EQ(rig.manage(kQueryTask, kDisk, 77), kFunctionSucceeded);
  EXPECT_EQ(rig.manage(kQueryTask, kDisk, 78), kOk);
  EXPECT_EQ(rig.manage(kAbortTask, kDisk, 77), kOk);
  EXPECT_EQ(rig.result().response, kAborted);
  rig.executor.run();
  EXPECT_EQ(rig.used_index(2), 1) << "it ended once";
  rig.lay_out(kDisk, {0x28, 0, 0, 0, 0, 0, 0, 0, 1}, 79);
  rig.offer(2, rig.pieces(512, false));
  rig.notify(2);
  EXPECT_EQ(rig.manage(kLogicalUnitReset, kDisk), kOk);
  EXPECT_EQ(rig.result().response, kReset);
  EXPECT_EQ(rig.manage(kAbortTask, {5, 0}, 1), kBadTarget);
  EXPECT_EQ(rig.manage(kAbortTask, {1, 0}, 1), kIncorrectLun);
  EXPECT_EQ(rig.manage(kClearAca, kDisk), kFunctionRejected);
}

TEST(VirtioScsi, RequestsUnderWayAreMadeAgainAfterALoad) {
  ScsiRig rig;
  const auto data = rig.fill(rig.disk, 0, 512, 6);
  rig.start(0);
  rig.lay_out(kDisk, {0x28, 0, 0, 0, 0, 0, 0, 0, 1});
  rig.offer(2, rig.pieces(512, false));
  rig.notify(2);
  StateIo out = StateIo::saver();
  rig.pci->transfer(out);
  ScsiRig other;
  other.fill(other.disk, 0, 512, 6);
  for (u64 at = 0; at < VirtioRig::kRamBytes; at += 4096)
    other.memory_space.write(at, rig.guest(at, 4096));
  StateIo in = StateIo::loader(out.bytes());
  other.pci->transfer(in);
  ASSERT_TRUE(in.finish());
  other.pci->resumed();
  other.executor.run();
  EXPECT_EQ(other.guest(kDataAt, 512), data);
  EXPECT_EQ(other.memory_space.load(kAnswerAt + 11, 1), kOk);
}

// Random use: every operation code, at every unit.
struct ScsiUnderTest final : DeviceRig {
  ScsiUnderTest() {
    set_log_level(LogLevel::kError);
    rig.start(kFeatureChange);
  }
  Device& device() override { return *rig.pci; }
  std::vector<PciFunction*> functions() override { return {rig.pci.get()}; }
  void poke(u64 random) override {
    if (random % 4 == 0) rig.executor.run();
    if (random % 32 == 1) {
      rig.place_bars();
      rig.start(kFeatureChange);
    }
    rig.lay_out(random % 2 != 0 ? kDisk : kCd,
                {static_cast<u8>(random >> 8), static_cast<u8>(random >> 16 & 31), 0, 0, 0,
                 static_cast<u8>(random >> 24), 0, 0, static_cast<u8>(random >> 32 & 15)});
    rig.offer(2, rig.pieces(4096, (random >> 40 & 1) != 0));
    rig.notify(2);
    rig.memory_space.store(VirtioRig::kModernBase + random / 8 % 0x4000, 1, random >> 32);
  }
  ScsiRig rig;
};
INSTANTIATE_TEST_SUITE_P(VirtioScsi, TransferTest,
                         testing::Values(device_under_test<ScsiUnderTest>("virtio_scsi")),
                         device_under_test_name);

}  // namespace
}  // namespace emu
