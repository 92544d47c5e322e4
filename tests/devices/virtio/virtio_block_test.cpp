// SPDX-License-Identifier: Apache-2.0
// The virtio core and the block device as a driver meets them: VIRTIO 1.2, 2 to 4 and 5.2.
#include "devices/virtio/virtio_block.h"
#include "devices/transfer_test.h"
#include "devices/virtio/virtio_rig.h"

namespace emu {
namespace {

constexpr u64 kIndirect = virtio::kFeatureIndirect, kEvents = virtio::kFeatureEventIndex;
constexpr u64 kFlushFeature = 1u << 9, kWceFeature = 1u << 11, kDiscardFeature = 1u << 13,
              kZeroesFeature = 1u << 14;
constexpr u64 kHeaderAt = 0x100000, kDataAt = 0x110000, kStatusAt = 0x120000, kTableAt = 0x130000;

struct BlockRig : VirtioRig {
  explicit BlockRig(unsigned queues = 1, bool packed_rings = false, bool read_only = false,
                    VirtioPci::Interface interface = VirtioPci::Interface::kTransitional)
      : disk(8 * kMiB, executor, read_only),
        recorder(disk, executor, [this](const BlockRequest& r) {
          ops.push_back(r.op);
          return fault;
        }) {
    auto device =
        std::make_unique<VirtioBlock>(memory_space, recorder, VirtioBlock::Options{"SN-7", queues});
    device->offer_packed_rings(packed_rings);
    plug(std::move(device), interface);
  }

  void header(u32 type, u64 sector, u64 at = kHeaderAt) {
    memory_space.store(at, 4, type);
    memory_space.store(at + 4, 4, 0);
    memory_space.store(at + 8, 8, sector);
    memory_space.store(kStatusAt, 1, 0xee);
  }
  std::vector<Piece> data_in(u32 bytes) {
    return {{kHeaderAt, 16}, {kDataAt, bytes, true}, {kStatusAt, 1, true}};
  }
  std::vector<Piece> data_out(u32 bytes) {
    return {{kHeaderAt, 16}, {kDataAt, bytes}, {kStatusAt, 1, true}};
  }
  // One request on queue 0, to its end; the status byte.
  u8 request(const std::vector<Piece>& pieces) {
    offer(0, pieces);
    notify(0);
    executor.run();
    return static_cast<u8>(memory_space.load(kStatusAt, 1));
  }
  std::vector<BlockOp> take_ops() { return std::exchange(ops, {}); }
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

  ManualExecutor executor;
  MemoryBackend disk;
  FaultBackend recorder;
  std::vector<BlockOp> ops;
  std::optional<Error> fault;
};

TEST(VirtioPci, TransitionalAndModernDevicesHaveTheirIds) {
  BlockRig old;
  EXPECT_EQ(old.read(VirtioRig::kDevfn, 0), 0x10011af4u);
  EXPECT_EQ(old.read(VirtioRig::kDevfn, 8, 1), 0u);
  EXPECT_EQ(old.read(VirtioRig::kDevfn, 0x2c), 0x00021af4u) << "the subsystem is the device type";
  BlockRig modern(1, false, false, VirtioPci::Interface::kModern);
  EXPECT_EQ(modern.read(VirtioRig::kDevfn, 0), 0x10421af4u);
  EXPECT_EQ(modern.read(VirtioRig::kDevfn, 8, 1), 1u);
  EXPECT_EQ(modern.read(VirtioRig::kDevfn, 0x10), 0u) << "no legacy window";
}

TEST(VirtioPci, AllFiveWindowsAreFoundThroughCapabilities) {
  BlockRig rig;
  for (u8 kind = 1; kind <= 5; ++kind) EXPECT_NE(rig.find_capability(kind), 0) << int{kind};
  EXPECT_EQ(rig.common(virtio::kNumQueues, 2), 1u);
  EXPECT_EQ(rig.device_config(0, 8), 8 * kMiB / 512);
}

TEST(VirtioPci, TheConfigurationSpaceWindowReachesRegisters) {
  BlockRig rig;
  const u32 at = rig.find_capability(virtio::kCapPci);
  rig.write(VirtioRig::kDevfn, at + 4, 4, 1);                   // BAR 4
  rig.write(VirtioRig::kDevfn, at + 8, virtio::kDeviceStatus);  // offset
  rig.write(VirtioRig::kDevfn, at + 12, 1);                     // length
  rig.write(VirtioRig::kDevfn, at + 16, 3, 1);                  // data
  EXPECT_EQ(rig.status(), 3);
  EXPECT_EQ(rig.read(VirtioRig::kDevfn, at + 16, 1), 3u);
  rig.write(VirtioRig::kDevfn, at + 12, 3);
  rig.write(VirtioRig::kDevfn, at + 16, 0, 1);
  EXPECT_EQ(rig.status(), 3) << "a length of 3 is no access";
}

TEST(VirtioPci, FeaturesThatWereNotOfferedAreRefused) {
  BlockRig rig;
  EXPECT_EQ(rig.offered() & virtio::kFeaturePacked, 0u);
  rig.status(3);
  rig.accept(virtio::kFeatureVersion1 | virtio::kFeaturePacked);
  rig.status(11);
  EXPECT_EQ(rig.status(), 3);
  rig.accept(virtio::kFeatureVersion1);
  rig.status(11);
  EXPECT_EQ(rig.status(), 11);
  rig.accept(0);
  EXPECT_EQ(rig.common(virtio::kDriverFeature, 4), 1u) << "features are final now";
}

TEST(VirtioBlock, ReadsIntoGuestMemory) {
  BlockRig rig;
  const auto data = rig.fill_disk(3 * 512, 1024, 9);
  rig.start(0);
  rig.header(0, 3);
  EXPECT_EQ(rig.request(rig.data_in(1024)), 0);
  EXPECT_EQ(rig.guest(kDataAt, 1024), data);
  EXPECT_EQ(rig.used_index(0), 1);
  EXPECT_EQ(rig.used(0, 0), (VirtioRig::Used{0, 1025}));
  EXPECT_TRUE(rig.pirqs.level(PciBus::pirq_of(VirtioRig::kDevfn, 1)));
  EXPECT_EQ(rig.isr(), virtio::kIsrQueue);
  EXPECT_FALSE(rig.pirqs.level(PciBus::pirq_of(VirtioRig::kDevfn, 1)));
}

TEST(VirtioBlock, HeaderDataAndStatusMayBeCutAnywhere) {
  BlockRig rig;
  const auto data = rig.fill_disk(512, 512, 4);
  rig.start(0);
  rig.header(0, 1);
  EXPECT_EQ(
      rig.request(
          {{kHeaderAt, 3}, {kHeaderAt + 3, 13}, {kDataAt, 100, true}, {kDataAt + 100, 413, true}}),
      0xee);
  EXPECT_EQ(rig.guest(kDataAt, 512), data);
  EXPECT_EQ(rig.guest(kDataAt + 512, 1)[0], 0) << "the last byte is the status";
}

TEST(VirtioBlock, WritesAndFlushesAsNegotiated) {
  BlockRig rig;
  const auto data = IdeRig::pattern(512, 77);
  rig.memory_space.write(kDataAt, data);
  rig.start(kFlushFeature);
  rig.header(1, 5);
  EXPECT_EQ(rig.request(rig.data_out(512)), 0);
  EXPECT_EQ(rig.on_disk(5 * 512, 512), data);
  rig.header(4, 0);
  EXPECT_EQ(rig.request({{kHeaderAt, 16}, {kStatusAt, 1, true}}), 0);
  EXPECT_EQ(rig.take_ops(), (std::vector{BlockOp::kWrite, BlockOp::kFlush}));
}

TEST(VirtioBlock, ADriverThatNeverFlushesGetsNoCache) {
  BlockRig rig;
  rig.start(0);
  rig.header(1, 5);
  EXPECT_EQ(rig.request(rig.data_out(512)), 0);
  EXPECT_EQ(rig.take_ops(), (std::vector{BlockOp::kWrite, BlockOp::kFlush}));
}

TEST(VirtioBlock, TheDriverMayTurnTheCacheOff) {
  BlockRig rig;
  rig.start(kFlushFeature | kWceFeature);
  rig.memory_space.store(rig.window(virtio::kCapDevice) + 32, 1, 0);
  EXPECT_EQ(rig.device_config(32, 1), 0u);
  rig.header(1, 5);
  rig.request(rig.data_out(512));
  EXPECT_EQ(rig.take_ops(), (std::vector{BlockOp::kWrite, BlockOp::kFlush}));
}

TEST(VirtioBlock, DiscardsAndZeroesRanges) {
  BlockRig rig;
  rig.fill_disk(0, 64 * kKiB, 1);
  rig.start(kDiscardFeature | kZeroesFeature | kFlushFeature);
  const auto range = [&](u64 n, u64 sector, u32 count, u32 flags) {
    rig.memory_space.store(kDataAt + 16 * n, 8, sector);
    rig.memory_space.store(kDataAt + 16 * n + 8, 4, count);
    rig.memory_space.store(kDataAt + 16 * n + 12, 4, flags);
  };
  range(0, 2, 3, 1);
  range(1, 20, 1, 0);
  rig.header(13, 0);
  EXPECT_EQ(rig.request(rig.data_out(32)), 0);
  EXPECT_EQ(rig.on_disk(2 * 512, 3 * 512), std::vector<u8>(3 * 512));
  EXPECT_EQ(rig.on_disk(20 * 512, 512), std::vector<u8>(512));
  EXPECT_NE(rig.on_disk(5 * 512, 512), std::vector<u8>(512));
  rig.header(11, 0);
  EXPECT_EQ(rig.request(rig.data_out(16)), 2) << "unmap makes no sense in a discard";
  range(0, 8 * kMiB / 512 - 1, 2, 0);
  rig.header(11, 0);
  EXPECT_EQ(rig.request(rig.data_out(16)), 1) << "beyond the end";
  EXPECT_EQ(rig.request(rig.data_out(17)), 2) << "not whole ranges";
}

TEST(VirtioBlock, SaysItsSerialNumber) {
  BlockRig rig;
  rig.start(0);
  rig.header(8, 0);
  EXPECT_EQ(rig.request(rig.data_in(20)), 0);
  EXPECT_EQ(rig.guest(kDataAt, 5), (std::vector<u8>{'S', 'N', '-', '7', 0}));
}

TEST(VirtioBlock, ErrorsReachTheGuestAndTheNextRequestWorks) {
  BlockRig rig;
  set_log_level(LogLevel::kError);
  rig.start(kFlushFeature);
  rig.fault = Error{ENOSPC, "no space"};
  rig.header(1, 0);
  EXPECT_EQ(rig.request(rig.data_out(512)), 1);
  rig.fault.reset();
  EXPECT_EQ(rig.request(rig.data_out(512)), 0);
  rig.header(0, 8 * kMiB / 512);
  EXPECT_EQ(rig.request(rig.data_in(512)), 1) << "behind the end";
  rig.header(0, 0);
  EXPECT_EQ(rig.request(rig.data_in(100)), 1) << "not whole sectors";
  rig.header(99, 0);
  EXPECT_EQ(rig.request(rig.data_in(512)), 2);
  EXPECT_EQ(rig.status(), 15) << "none of that breaks the device";
  set_log_level(LogLevel::kWarning);
}

TEST(VirtioBlock, AReadOnlyDiskSaysSo) {
  BlockRig rig(1, false, true);
  EXPECT_NE(rig.offered() & 1u << 5, 0u);
  EXPECT_EQ(rig.offered() & kDiscardFeature, 0u);
  rig.start(0);
  rig.header(1, 0);
  EXPECT_EQ(rig.request(rig.data_out(512)), 1);
}

TEST(Virtqueue, IndirectTablesAreFollowed) {
  BlockRig rig;
  const auto data = rig.fill_disk(0, 512, 8);
  rig.start(kIndirect);
  rig.header(0, 0);
  const auto pieces = rig.data_in(512);
  for (u16 i = 0; i < 3; ++i)
    rig.put_split(kTableAt + i * 16u, pieces[i], i < 2 ? 1 : 0, static_cast<u16>(i + 1));
  rig.put_split(VirtioRig::descriptors(0), {kTableAt, 48}, virtio::kDescriptorIndirect, 0);
  rig.publish(0, 0);
  rig.notify(0);
  rig.executor.run();
  EXPECT_EQ(rig.guest(kDataAt, 512), data);
}

// What a hostile driver may put into a ring: the device asks for a reset, and works after it.
TEST(Virtqueue, NonsenseNeedsAReset) {
  set_log_level(LogLevel::kError);
  const std::vector<std::function<void(BlockRig&)>> nonsense{
      [](BlockRig& rig) {  // a loop
        rig.put_split(VirtioRig::descriptors(0), {kHeaderAt, 16}, virtio::kDescriptorNext, 0);
        rig.publish(0, 0);
      },
      [](BlockRig& rig) { rig.publish(0, 8); },  // a head beyond the table
      [](BlockRig& rig) {                        // more available than the ring holds
        rig.memory_space.store(VirtioRig::driver_part(0) + 2, 2, 9);
      },
      [](BlockRig& rig) {  // write before read
        rig.offer(0, {{kDataAt, 512, true}, {kHeaderAt, 16}});
      },
      [](BlockRig& rig) {
        rig.offer(0, {{0xfe000000, 16}, {kStatusAt, 1, true}});
      },  // registers
      [](BlockRig& rig) {
        rig.offer(0, {{kHeaderAt, 16}});
      },  // no status
      [](BlockRig& rig) {
        rig.offer(0, {{~u64{0} - 3, 16}, {kStatusAt, 1, true}});
      },
      [](BlockRig& rig) {  // an indirect table in an indirect table
        rig.put_split(kTableAt, {kTableAt, 16}, virtio::kDescriptorIndirect, 0);
        rig.put_split(VirtioRig::descriptors(0), {kTableAt, 16}, virtio::kDescriptorIndirect, 0);
        rig.publish(0, 0);
      },
      [](BlockRig& rig) {  // an indirect table of no whole entries
        rig.put_split(VirtioRig::descriptors(0), {kTableAt, 24}, virtio::kDescriptorIndirect, 0);
        rig.publish(0, 0);
      },
  };
  for (std::size_t i = 0; i < nonsense.size(); ++i) {
    SCOPED_TRACE(i);
    BlockRig rig;
    rig.start(kIndirect);
    nonsense[i](rig);
    rig.notify(0);
    rig.executor.run();
    EXPECT_EQ(rig.status(), 15 | virtio::kNeedsReset);
    EXPECT_EQ(rig.isr() & virtio::kIsrConfig, virtio::kIsrConfig);
    rig.start(0);
    EXPECT_EQ(rig.status(), 15);
    rig.header(0, 0);
    EXPECT_EQ(rig.request(rig.data_in(512)), 0);
  }
  set_log_level(LogLevel::kWarning);
}

TEST(Virtqueue, RingsOutsideRamAreRefused) {
  set_log_level(LogLevel::kError);
  BlockRig rig;
  rig.start(0);
  rig.status(0);
  rig.status(3);
  rig.accept(virtio::kFeatureVersion1);
  rig.status(11);
  rig.set_common(virtio::kQueueDescriptors, 4, VirtioRig::kModernBase + 0x3000);
  rig.set_common(virtio::kQueueEnable, 2, 1);
  rig.status(15);
  EXPECT_EQ(rig.status(), 15 | virtio::kNeedsReset);
  set_log_level(LogLevel::kWarning);
}

TEST(Virtqueue, InterruptsComeAsTheDriverAsks) {
  BlockRig rig;
  const unsigned wire = PciBus::pirq_of(VirtioRig::kDevfn, 1);
  rig.start(0);
  rig.memory_space.store(VirtioRig::driver_part(0), 2, virtio::kAvailNoInterrupt);
  rig.header(0, 0);
  rig.request(rig.data_in(512));
  EXPECT_FALSE(rig.pirqs.level(wire));
  rig.memory_space.store(VirtioRig::driver_part(0), 2, 0);
  rig.request(rig.data_in(512));
  EXPECT_TRUE(rig.pirqs.level(wire));

  rig.start(kEvents);
  rig.request(rig.data_in(512));  // used index 1; used_event 0: that is reached
  EXPECT_EQ(rig.isr(), 1);
  rig.memory_space.store(VirtioRig::driver_part(0) + 4 + 16, 2, 2);  // used_event
  rig.request(rig.data_in(512));
  EXPECT_EQ(rig.isr(), 0) << "index 2: the event is the third request's";
  rig.request(rig.data_in(512));
  EXPECT_EQ(rig.isr(), 1);
  EXPECT_EQ(rig.memory_space.load(VirtioRig::device_part(0) + 4 + 64, 2), 3u) << "avail_event";
}

TEST(Virtqueue, IndexesWrapAtSixteenBits) {
  BlockRig rig;
  rig.start(kEvents);
  rig.header(0, 0);
  for (unsigned i = 0; i < 65540; ++i) {
    rig.memory_space.store(VirtioRig::driver_part(0) + 4 + 16, 2, i & 0xffff);
    rig.offer(0, rig.data_in(512), static_cast<u16>(i % 2 * 4));
    rig.notify(0);
    rig.executor.run();
    ASSERT_EQ(rig.isr(), 1) << i;
  }
  EXPECT_EQ(rig.used_index(0), 4);
}

TEST(Virtqueue, PackedRingsWrap) {
  BlockRig rig(1, true);
  const auto data = rig.fill_disk(0, 512, 3);
  rig.start(virtio::kFeaturePacked, 5);  // a packed ring's size need not be a power of two
  rig.header(0, 0);
  u16 at = 0;
  bool wrap = true;
  for (unsigned n = 0; n < 20; ++n) {
    SCOPED_TRACE(n);
    const u16 first = at;
    const bool first_wrap = wrap;
    const auto pieces = rig.data_in(512);
    for (unsigned i = 0; i < 3; ++i) {
      const u64 slot = VirtioRig::descriptors(0) + at * 16u;
      u16 flags = wrap ? virtio::kPackedAvailable : virtio::kPackedUsed;
      if (i < 2) flags |= virtio::kDescriptorNext;
      if (pieces[i].write) flags |= virtio::kDescriptorWrite;
      rig.memory_space.store(slot, 8, pieces[i].address);
      rig.memory_space.store(slot + 8, 4, pieces[i].length);
      rig.memory_space.store(slot + 12, 2, 40 + n);
      rig.memory_space.store(slot + 14, 2, flags);
      if (++at == 5) at = 0, wrap = !wrap;
    }
    rig.notify(0);
    rig.executor.run();
    const u64 slot = VirtioRig::descriptors(0) + first * 16u;
    const u64 both = virtio::kPackedAvailable | virtio::kPackedUsed;
    EXPECT_EQ(rig.memory_space.load(slot + 14, 2) & both, first_wrap ? both : 0);
    EXPECT_EQ(rig.memory_space.load(slot + 12, 2), 40 + n);
    EXPECT_EQ(rig.memory_space.load(slot + 8, 4), 513u);
    EXPECT_EQ(rig.isr(), 1);
  }
  EXPECT_EQ(rig.guest(kDataAt, 512), data);
}

TEST(VirtioPci, EachQueueHasItsMessage) {
  BlockRig rig(2);
  rig.start(1u << 12);
  rig.write(VirtioRig::kDevfn, rig.msix_at() + 2u, 0x8000, 2);
  for (u64 v = 0; v < 3; ++v) {
    rig.memory_space.store(VirtioRig::kMsixBase + v * 16, 4, 0xfee00000);
    rig.memory_space.store(VirtioRig::kMsixBase + v * 16 + 8, 4, 0x40 + v);
    rig.memory_space.store(VirtioRig::kMsixBase + v * 16 + 12, 4, 0);
  }
  for (u16 q = 0; q < 2; ++q) {
    rig.set_common(virtio::kQueueSelect, 2, q);
    rig.set_common(virtio::kQueueVector, 2, q + 1u);
    EXPECT_EQ(rig.common(virtio::kQueueVector, 2), q + 1u);
  }
  rig.set_common(virtio::kQueueVector, 2, 3);
  EXPECT_EQ(rig.common(virtio::kQueueVector, 2), virtio::kNoVector) << "there are three";
  rig.set_common(virtio::kQueueVector, 2, 2);
  rig.header(0, 0);
  rig.offer(1, rig.data_in(512));
  rig.notify(1);
  rig.executor.run();
  ASSERT_EQ(rig.messages.messages.size(), 1u);
  EXPECT_EQ(rig.messages.messages[0], (RecordingMsi::Message{0xfee00000, 0x42}));
}

TEST(VirtioPci, ALegacyDriverReadsBeforeItSaysDriverOk) {
  BlockRig rig;
  const auto data = rig.fill_disk(512, 512, 5);
  const auto out = [&](u16 reg, unsigned size, u32 value) {
    rig.port_space.store(u64{VirtioRig::kLegacyBase} + reg, size, value);
  };
  const auto in = [&](u16 reg, unsigned size) {
    return rig.port_space.load(u64{VirtioRig::kLegacyBase} + reg, size);
  };
  out(virtio::kLegacyStatus, 1, 0);
  out(virtio::kLegacyStatus, 1, 3);
  EXPECT_EQ(in(0x14, 4), 8 * kMiB / 512) << "the capacity follows the header";
  out(virtio::kLegacyQueueSelect, 2, 0);
  const u64 n = in(virtio::kLegacyQueueSize, 2);
  ASSERT_EQ(n, 256u);
  constexpr u64 kRing = 0x40000;
  out(virtio::kLegacyQueueAddress, 4, kRing / 4096);
  EXPECT_EQ(in(virtio::kLegacyQueueAddress, 4), kRing / 4096);
  rig.header(0, 1);
  const auto pieces = rig.data_in(512);
  for (u16 i = 0; i < 3; ++i)
    rig.put_split(kRing + i * 16u, pieces[i], i < 2 ? 1 : 0, static_cast<u16>(i + 1));
  rig.memory_space.store(kRing + n * 16 + 4, 2, 0);
  rig.memory_space.store(kRing + n * 16 + 2, 2, 1);
  out(virtio::kLegacyQueueNotify, 2, 0);
  rig.executor.run();
  EXPECT_EQ(rig.guest(kDataAt, 512), data);
  EXPECT_EQ(in(virtio::kLegacyIsr, 1), 1u);
  out(virtio::kLegacyStatus, 1, 0);
  EXPECT_EQ(in(virtio::kLegacyQueueAddress, 4), 0u);
}

TEST(VirtioBlock, AResetForgetsRequestsUnderWay) {
  BlockRig rig;
  rig.start(0);
  rig.header(0, 0);
  rig.offer(0, rig.data_in(512));
  rig.notify(0);
  rig.status(0);
  rig.executor.run();
  EXPECT_EQ(rig.memory_space.load(kStatusAt, 1), 0xeeu);
  EXPECT_EQ(rig.used_index(0), 0);
}

TEST(VirtioBlock, RequestsUnderWayAreMadeAgainAfterALoad) {
  BlockRig rig;
  const auto data = rig.fill_disk(0, 512, 6);
  rig.start(0);
  rig.header(0, 0);
  rig.offer(0, rig.data_in(512));
  rig.notify(0);
  StateIo out = StateIo::saver();
  rig.pci->transfer(out);
  BlockRig other;
  other.fill_disk(0, 512, 6);
  for (u64 at = 0; at < VirtioRig::kRamBytes; at += 4096)
    other.memory_space.write(at, rig.guest(at, 4096));
  StateIo in = StateIo::loader(out.bytes());
  other.pci->transfer(in);
  ASSERT_TRUE(in.finish());
  other.pci->resumed();
  other.executor.run();
  EXPECT_EQ(other.guest(kDataAt, 512), data);
  EXPECT_EQ(other.memory_space.load(kStatusAt, 1), 0u);
  EXPECT_EQ(other.memory_space.load(VirtioRig::device_part(0) + 2, 2), 1u);
}

// The rig for random use: rings that lead somewhere, and windows that random accesses hit.
struct BlockUnderTest final : DeviceRig {
  explicit BlockUnderTest() : rig(2, true) {
    set_log_level(LogLevel::kError);
    rig.start(kIndirect | kFlushFeature);
    rig.offer(0, rig.data_in(512));
  }
  Device& device() override { return *rig.pci; }
  std::vector<PciFunction*> functions() override { return {rig.pci.get()}; }
  void poke(u64 random) override {
    if (random % 4 == 0) rig.executor.run();
    if (random % 32 == 1) {
      rig.place_bars();
      rig.start(kIndirect | kFlushFeature | (random & 64 ? virtio::kFeaturePacked : 0));
      rig.offer(random / 128 % 2, rig.data_in(512));
      rig.notify(random / 128 % 2);
    }
    rig.memory_space.store(VirtioRig::kModernBase + random / 8 % 0x4000, 1, random >> 32);
    rig.port_space.store(VirtioRig::kLegacyBase + random / 8 % 128, 1, random >> 40);
  }
  BlockRig rig;
};
INSTANTIATE_TEST_SUITE_P(VirtioBlock, TransferTest,
                         testing::Values(device_under_test<BlockUnderTest>("virtio_block")),
                         device_under_test_name);

}  // namespace
}  // namespace emu
