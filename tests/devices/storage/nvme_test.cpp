// SPDX-License-Identifier: Apache-2.0
// An NVMe controller as a driver meets it: NVM Express 1.4, 3, 4, 5, 6.
#include "devices/pci/pci_rig.h"
#include "devices/storage/ide_rig.h"
#include "devices/storage/nvme_controller.h"
#include "devices/transfer_test.h"

namespace emu {
namespace {

using namespace nvme;

struct NvmeRig : PciRig {
  static constexpr u64 kRamBytes = 4 * kMiB, kBar = 0xfe000000;
  static constexpr u64 kAdminSq = 0x10000, kAdminCq = 0x11000, kSq = 0x12000, kCq = 0x13000,
                       kData = 0x100000, kLists = 0x200000;
  static constexpr u8 kDevfn = pci::devfn(5, 0);
  static constexpr u32 kEntries = 8;

  explicit NvmeRig(bool read_only = false)
      : disk(16 * kMiB, executor, read_only),
        recorder(disk, executor, [this](const BlockRequest& r) {
          ops.push_back(r.op);
          return fault;
        }) {
    memory->add(*ram_region, 0);
    device = std::make_unique<NvmeController>(bus, kDevfn, "nvme-under-test", recorder, "SN-9");
    device->reset();
    place_bars();
  }
  void place_bars() {
    write(kDevfn, 0x10, static_cast<u32>(kBar));
    write(kDevfn, 0x14, 0);
    write(kDevfn, 4, 6, 2);
  }
  void set(u32 offset, u32 value) { memory_space.store(kBar + offset, 4, value); }
  u32 get(u32 offset) { return static_cast<u32>(memory_space.load(kBar + offset, 4)); }

  // Admin queues and one pair of I/O queues, through INTx.
  void start() {
    set(kCc, 0);
    set(kAqa, (kEntries - 1) << 16 | (kEntries - 1));
    set(kAsq, kAdminSq);
    set(kAcq, kAdminCq);
    for (u64 at = kAdminSq; at < 0x14000; at += 8) memory_space.store(at, 8, 0);
    tails = {};
    heads = {};
    phases = {true, true};
    set(kCc, 6u << 16 | 4u << 20 | kCcEnable);
    ASSERT_EQ(get(kCsts), kCstsReady);
    ASSERT_EQ(admin(kCreateCq, kCq, (kEntries - 1) << 16 | 1, 3), kSuccess);
    ASSERT_EQ(admin(kCreateSq, kSq, (kEntries - 1) << 16 | 1, 1u << 16 | 1), kSuccess);
  }
  struct Command {
    u8 opcode;
    u32 name_space = 1;
    u64 prp1 = 0, prp2 = 0;
    u32 w10 = 0, w11 = 0, w12 = 0;
    u8 flags = 0;
  };
  void put(unsigned queue, const Command& c) {
    const u64 at = (queue == 0 ? kAdminSq : kSq) + tails[queue] * kCommandBytes;
    memory_space.store(at, 4, c.opcode | u32{c.flags} << 8 | u32{++command_id} << 16);
    memory_space.store(at + 4, 4, c.name_space);
    memory_space.store(at + 24, 8, c.prp1);
    memory_space.store(at + 32, 8, c.prp2);
    memory_space.store(at + 40, 4, c.w10);
    memory_space.store(at + 44, 4, c.w11);
    memory_space.store(at + 48, 4, c.w12);
    tails[queue] = (tails[queue] + 1) % kEntries;
    set(kDoorbells + 8 * queue, tails[queue]);
  }
  // The next completion's status; 0xffff if there is none.
  u16 take(unsigned queue) {
    const u64 at = (queue == 0 ? kAdminCq : kCq) + heads[queue] * kCompletionBytes;
    const u64 word = memory_space.load(at + 12, 4);
    if ((word >> 16 & 1) != (phases[queue] ? 1u : 0u)) return 0xffff;
    result = static_cast<u32>(memory_space.load(at, 4));
    if (++heads[queue] == kEntries) heads[queue] = 0, phases[queue] = !phases[queue];
    set(kDoorbells + 8 * queue + 4, heads[queue]);
    return static_cast<u16>(word >> 17);
  }
  u16 admin(u8 opcode, u64 prp1, u32 w10, u32 w11 = 0, u32 name_space = 0) {
    put(0, {opcode, name_space, prp1, 0, w10, w11});
    executor.run();
    return take(0);
  }
  u16 io(const Command& c) {
    put(1, c);
    executor.run();
    return take(1);
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
  std::vector<u8> fill_disk(u64 offset, u64 bytes, u8 seed) {
    auto data = IdeRig::pattern(bytes, seed);
    EXPECT_TRUE(disk.contents().write_flat(offset, data));
    return data;
  }
  [[nodiscard]] bool interrupt() const { return pirqs.level(PciBus::pirq_of(kDevfn, 1)); }

  std::unique_ptr<GuestRam> ram = std::move(*GuestRam::create("ram", kRamBytes));
  std::unique_ptr<Region> ram_region = Region::ram("ram", *ram, 0, kRamBytes);
  ManualExecutor executor;
  MemoryBackend disk;
  FaultBackend recorder;
  std::vector<BlockOp> ops;
  std::optional<Error> fault;
  std::unique_ptr<NvmeController> device;
  std::array<u32, 2> tails{}, heads{};
  std::array<bool, 2> phases{true, true};
  u16 command_id = 0;
  u32 result = 0;
};

TEST(Nvme, IdentifiesItself) {
  NvmeRig rig;
  EXPECT_EQ(rig.read(NvmeRig::kDevfn, 8) >> 8, 0x010802u);
  rig.start();
  EXPECT_EQ(rig.admin(kIdentify, NvmeRig::kData, 1), kSuccess);
  const auto controller = rig.guest(NvmeRig::kData, 4096);
  EXPECT_EQ(std::string(controller.begin() + 4, controller.begin() + 9), "SN-9 ");
  EXPECT_EQ(controller[512], 0x66);
  EXPECT_EQ(rig.admin(kIdentify, NvmeRig::kData, 0, 0, 1), kSuccess);
  EXPECT_EQ(rig.memory_space.load(NvmeRig::kData, 8), 16 * kMiB / 512);
  EXPECT_EQ(rig.admin(kIdentify, NvmeRig::kData, 0, 0, 2), kInvalidNamespace);
  EXPECT_EQ(rig.admin(kIdentify, NvmeRig::kData, 2), kSuccess);
  EXPECT_EQ(rig.memory_space.load(NvmeRig::kData, 8), 1u) << "one namespace";
  EXPECT_EQ(rig.admin(kSetFeatures, 0, kFeatureQueues, 0x00ff00ff), kSuccess);
  EXPECT_EQ(rig.result, 0x000f000fu) << "sixteen pairs of I/O queues";
}

TEST(Nvme, MovesDataByOneTwoAndManyPages) {
  NvmeRig rig;
  rig.start();
  const auto data = rig.fill_disk(0, 64 * kKiB, 5);
  EXPECT_EQ(rig.io({kRead, 1, NvmeRig::kData + 512, 0, 0, 0, 6}), kSuccess);
  EXPECT_EQ(rig.guest(NvmeRig::kData + 512, 3584),
            std::vector<u8>(data.begin(), data.begin() + 3584));
  EXPECT_EQ(rig.io({kRead, 1, NvmeRig::kData, NvmeRig::kData + 0x8000, 0, 0, 15}), kSuccess);
  EXPECT_EQ(rig.guest(NvmeRig::kData + 0x8000, 4096),
            std::vector<u8>(data.begin() + 4096, data.begin() + 8192));
  // A list of 15 entries that starts two entries before the end of its page, and goes on elsewhere.
  const u64 list = NvmeRig::kLists + 4096 - 16;
  rig.memory_space.store(list, 8, NvmeRig::kData + 0x1000);
  rig.memory_space.store(list + 8, 8, NvmeRig::kLists + 0x2000);
  for (u64 i = 0; i < 14; ++i)
    rig.memory_space.store(NvmeRig::kLists + 0x2000 + 8 * i, 8,
                           NvmeRig::kData + 0x2000 + i * 0x1000);
  EXPECT_EQ(rig.io({kRead, 1, NvmeRig::kData, list, 0, 0, 127}), kSuccess);
  EXPECT_EQ(rig.guest(NvmeRig::kData, 64 * kKiB), data);
}

TEST(Nvme, MovesDataBySgl) {
  NvmeRig rig;
  rig.start();
  const auto data = IdeRig::pattern(1024, 8);
  rig.memory_space.write(NvmeRig::kData, std::span(data).first(100));
  rig.memory_space.write(NvmeRig::kData + 0x3001, std::span(data).subspan(100));
  rig.memory_space.store(NvmeRig::kLists, 8, NvmeRig::kData);
  rig.memory_space.store(NvmeRig::kLists + 8, 8, 100);
  rig.memory_space.store(NvmeRig::kLists + 16, 8, NvmeRig::kData + 0x3001);
  rig.memory_space.store(NvmeRig::kLists + 24, 8, 924);
  // The command holds a last-segment descriptor: address, then length and type.
  EXPECT_EQ(rig.io({kWrite, 1, NvmeRig::kLists, u64{0x30} << 56 | 32, 7, 0, 1, 0x40}), kSuccess);
  EXPECT_EQ(rig.on_disk(7 * 512, 1024), data);
  EXPECT_EQ(rig.io({kWrite, 1, NvmeRig::kLists, u64{0x30} << 56 | 16, 7, 0, 1, 0x40}), kSglLength);
  EXPECT_EQ(rig.io({kWrite, 1, NvmeRig::kLists, u64{0x30} << 56 | 7, 7, 0, 1, 0x40}), kSglCount);
  rig.memory_space.store(NvmeRig::kLists, 8, NvmeRig::kLists);
  rig.memory_space.store(NvmeRig::kLists + 8, 8, u64{0x20} << 56 | 16);
  EXPECT_EQ(rig.io({kWrite, 1, NvmeRig::kLists, u64{0x20} << 56 | 16, 7, 0, 1, 0x40}), kSglCount)
      << "a segment that leads to itself";
}

TEST(Nvme, FlushesWhenAskedForcedOrUncached) {
  NvmeRig rig;
  rig.start();
  EXPECT_EQ(rig.io({kFlush}), kSuccess);
  EXPECT_EQ(rig.io({kWrite, 1, NvmeRig::kData, 0, 0, 0, kForceUnitAccess}), kSuccess);
  EXPECT_EQ(rig.ops, (std::vector{BlockOp::kFlush, BlockOp::kWrite, BlockOp::kFlush}));
  rig.ops.clear();
  EXPECT_EQ(rig.admin(kSetFeatures, 0, kFeatureWriteCache, 0), kSuccess);
  EXPECT_EQ(rig.io({kWrite, 1, NvmeRig::kData}), kSuccess);
  EXPECT_EQ(rig.ops, (std::vector{BlockOp::kWrite, BlockOp::kFlush}));
}

TEST(Nvme, ZeroesAndDeallocates) {
  NvmeRig rig;
  rig.start();
  rig.fill_disk(0, 8192, 1);
  EXPECT_EQ(rig.io({kWriteZeroes, 1, 0, 0, 2, 0, 3}), kSuccess);
  EXPECT_EQ(rig.on_disk(1024, 2048), std::vector<u8>(2048));
  rig.memory_space.store(NvmeRig::kData + 4, 4, 2);
  rig.memory_space.store(NvmeRig::kData + 8, 8, 10);
  EXPECT_EQ(rig.io({kDatasetManagement, 1, NvmeRig::kData, 0, 0, kDeallocate}), kSuccess);
  EXPECT_EQ(rig.on_disk(5120, 1024), std::vector<u8>(1024));
  rig.memory_space.store(NvmeRig::kData + 8, 8, ~u64{0});
  EXPECT_EQ(rig.io({kDatasetManagement, 1, NvmeRig::kData, 0, 0, kDeallocate}), kLbaRange);
}

TEST(Nvme, ErrorsReachTheGuest) {
  set_log_level(LogLevel::kError);
  NvmeRig rig;
  rig.start();
  EXPECT_EQ(rig.io({kRead, 1, NvmeRig::kData, 0, 16 * kMiB / 512}), kLbaRange);
  EXPECT_EQ(rig.io({kRead, 2, NvmeRig::kData}), kInvalidNamespace);
  EXPECT_EQ(rig.io({0x7f, 1}), kInvalidOpcode);
  EXPECT_EQ(rig.io({kRead, 1, NvmeRig::kBar}), kTransferError) << "its own registers";
  EXPECT_EQ(rig.io({kRead, 1, NvmeRig::kData, 8, 0, 0, 15}), kPrpOffset);
  rig.fault = Error{EIO, "bad sector"};
  EXPECT_EQ(rig.io({kRead, 1, NvmeRig::kData}), kReadError);
  rig.fault = Error{ENOSPC, "no space"};
  EXPECT_EQ(rig.io({kWrite, 1, NvmeRig::kData}), kWriteFault);
  rig.fault.reset();
  EXPECT_EQ(rig.io({kWrite, 1, NvmeRig::kData}), kSuccess) << "and a retry works";
  NvmeRig fixed(true);
  fixed.start();
  EXPECT_EQ(fixed.io({kWrite, 1, NvmeRig::kData}), kReadOnlyRange);
  set_log_level(LogLevel::kWarning);
}

TEST(Nvme, InterruptsWhileCompletionsWait) {
  NvmeRig rig;
  rig.start();
  EXPECT_FALSE(rig.interrupt());
  rig.put(1, {kFlush});
  rig.executor.run();
  EXPECT_TRUE(rig.interrupt());
  rig.set(kIntms, 1);
  EXPECT_FALSE(rig.interrupt());
  rig.set(kIntmc, 1);
  EXPECT_TRUE(rig.interrupt());
  EXPECT_EQ(rig.take(1), kSuccess);
  EXPECT_FALSE(rig.interrupt());
}

TEST(Nvme, AFullCompletionQueueHoldsCommandsBack) {
  NvmeRig rig;
  rig.start();
  for (unsigned i = 0; i < 3 * NvmeRig::kEntries; ++i) {
    rig.put(1, {0x7f, 1});  // an answer at once
    rig.executor.run();
  }
  unsigned answers = 0;
  while (rig.take(1) == kInvalidOpcode) ++answers;
  EXPECT_GE(answers, 2 * NvmeRig::kEntries) << "none of those that were taken is lost";
}

TEST(Nvme, BadQueuesAreRefused) {
  set_log_level(LogLevel::kError);
  NvmeRig rig;
  rig.start();
  EXPECT_EQ(rig.admin(kCreateCq, NvmeRig::kCq, 7u << 16 | 1, 1), kBadQueue) << "it is there";
  EXPECT_EQ(rig.admin(kCreateCq, NvmeRig::kCq, 7u << 16 | 40, 1), kBadQueue);
  EXPECT_EQ(rig.admin(kCreateCq, NvmeRig::kCq, 0xffffu << 16 | 2, 1), kBadQueueSize);
  EXPECT_EQ(rig.admin(kCreateCq, NvmeRig::kBar, 7u << 16 | 2, 1), kInvalidField);
  EXPECT_EQ(rig.admin(kCreateSq, NvmeRig::kSq, 7u << 16 | 2, 9u << 16 | 1), kBadCq);
  EXPECT_EQ(rig.admin(kDeleteCq, 0, 1), kBadDeletion) << "a submission queue uses it";
  EXPECT_EQ(rig.admin(kDeleteSq, 0, 1), kSuccess);
  EXPECT_EQ(rig.admin(kDeleteCq, 0, 1), kSuccess);
  rig.set(kCc, 0);
  rig.set(kAsq, NvmeRig::kBar);
  rig.set(kCc, 6u << 16 | 4u << 20 | kCcEnable);
  EXPECT_EQ(rig.get(kCsts), kCstsFatal);
  set_log_level(LogLevel::kWarning);
}

struct NvmeUnderTest final : DeviceRig {
  Device& device() override { return *rig.device; }
  std::vector<PciFunction*> functions() override { return {rig.device.get()}; }
  void poke(u64 random) override {
    rig.place_bars();
    if (random % 4 == 0) rig.executor.run();
    if (random % 32 == 1) {
      rig.set(kCc, 0);
      rig.set(kAqa, 0x00070007);
      rig.set(kAsq, NvmeRig::kAdminSq);
      rig.set(kAcq, NvmeRig::kAdminCq);
      rig.set(kCc, 6u << 16 | 4u << 20 | kCcEnable);
    }
    if (random % 8 == 2)
      rig.put(0, {static_cast<u8>(random >> 8 & 15), 1, NvmeRig::kCq, 0,
                  7u << 16 | static_cast<u32>(random >> 16 & 3), 1u << 16 | 3});
    if (random % 8 == 3) rig.put(1, {static_cast<u8>(random >> 8 & 3), 1, NvmeRig::kData});
    rig.set(static_cast<u32>(random >> 20 & 0x1ffc), static_cast<u32>(random >> 40 & 0xff));
  }
  NvmeRig rig;
};
INSTANTIATE_TEST_SUITE_P(Nvme, TransferTest,
                         testing::Values(device_under_test<NvmeUnderTest>("nvme")),
                         device_under_test_name);

}  // namespace
}  // namespace emu
