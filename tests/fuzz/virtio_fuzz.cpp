// SPDX-License-Identifier: Apache-2.0
// The input is what a hostile guest does to a virtio block device: five bytes a step. Rings and
// buffers lie in a little RAM that the steps scribble over.
#include <deque>
#include <functional>

#include "base/log.h"
#include "block/test_backends.h"
#include "devices/pci/pci_bus.h"
#include "devices/virtio/virtio_block.h"
#include "devices/virtio/virtio_pci.h"

namespace emu {
namespace {

class LaterExecutor final : public Executor {
 public:
  void post(std::function<void()> work) override { queue_.push_back(std::move(work)); }
  void run() {
    while (!queue_.empty()) {
      const auto work = std::move(queue_.front());
      queue_.pop_front();
      work();
    }
  }

 private:
  std::deque<std::function<void()>> queue_;
};

class NoInterrupts final : public MsiSink {
 public:
  void send_msi(u64, u32) override {}
};

class Rig {
 public:
  explicit Rig(bool packed) {
    memory_->add(*ram_region_, 0);
    auto block = std::make_unique<VirtioBlock>(space_, disk_, VirtioBlock::Options{"fuzz", 2});
    block->offer_packed_rings(true);
    pci_ = std::make_unique<VirtioPci>(bus_, pci::devfn(3, 0), "virtio", std::move(block));
    pci_->reset();
    pci_->write_config(0x10, 4, 0xc000);
    pci_->write_config(0x20, 4, kBar);
    pci_->write_config(4, 2, 7);
    start(packed);
  }
  void step(std::span<const u8> s) {
    const u64 at = u64{s[1]} << 8 | s[2];
    const u16 value = static_cast<u16>(s[3] | s[4] << 8);
    switch (s[0] % 8) {
      case 0:
        return space_.store(kBar + at % 0x4000, 2, value);
      case 1:
        return space_.store(at % kRamBytes, 2, value);
      case 2:
        return descriptor(s);
      case 3:
        return available(s[1] % 2u, value);
      case 4:
        return ports_space_.store(0xc000 + at % 128, 1 + s[3] % 2u, value);
      case 5:
        static_cast<void>(space_.load(kBar + at % 0x4000, 1));
        return start(s[3] % 2 != 0);
      case 6:
        return space_.store(kBar + 0x3000 + at % 3 * 4, 2, 0);
      default:
        return executor_.run();
    }
  }
  void finish() {
    executor_.run();
    pci_->reset();
  }

 private:
  static constexpr u64 kBar = 0xfe000000, kRamBytes = 64 * kKiB, kParts[3] = {0, 0x100, 0x200};
  void set(u64 offset, unsigned size, u64 value) { space_.store(kBar + offset, size, value); }
  void start(bool packed) {
    set(virtio::kDeviceStatus, 1, 0);
    set(virtio::kDeviceStatus, 1, 3);
    set(virtio::kDriverFeatureSelect, 4, 0);
    set(virtio::kDriverFeature, 4, virtio::kFeatureIndirect | virtio::kFeatureEventIndex);
    set(virtio::kDriverFeatureSelect, 4, 1);
    set(virtio::kDriverFeature, 4, packed ? 5 : 1);
    set(virtio::kDeviceStatus, 1, 11);
    for (u64 queue = 0; queue < 2; ++queue) {
      set(virtio::kQueueSelect, 2, queue);
      set(virtio::kQueueSize, 2, 8);
      for (u64 i = 0; i < 3; ++i)
        set(virtio::kQueueDescriptors + 8 * i, 4, 0x1000 * queue + kParts[i]);
      set(virtio::kQueueEnable, 2, 1);
    }
    set(virtio::kDeviceStatus, 1, 15);
  }
  // Something that looks like a descriptor.
  void descriptor(std::span<const u8> s) {
    const u64 at = (s[1] & 1u) * 0x1000u + (s[1] >> 1) % 16 * 16u;
    space_.store(at, 8, s[2] * 0x100u);
    space_.store(at + 8, 4, s[3] % 16 * 16u);
    space_.store(at + 12, 2, s[4] & 15u);
    space_.store(at + 14, 2, (s[4] >> 4) | (s[3] & 0x90u));
    space_.store(s[2] * 0x100u, 4, s[3] >> 4);
  }
  void available(u64 queue, u16 head) {
    const u64 ring = 0x1000 * queue + kParts[1];
    const u64 index = space_.load(ring + 2, 2);
    space_.store(ring + 4 + index % 8 * 2, 2, head % 10);
    space_.store(ring + 2, 2, index + 1);
    set(0x3000 + 4 * queue, 2, queue);
  }

  std::unique_ptr<GuestRam> ram_ = std::move(*GuestRam::create("ram", kRamBytes));
  std::unique_ptr<Region> memory_ = Region::container("memory", u64{1} << 32);
  std::unique_ptr<Region> ports_ = Region::container("ports", 0x10000);
  std::unique_ptr<Region> ram_region_ = Region::ram("ram", *ram_, 0, kRamBytes);
  AddressSpace space_{*memory_};
  AddressSpace ports_space_{*ports_};
  NoInterrupts interrupts_;
  PciBus bus_{{*memory_, *ports_, space_, interrupts_}};
  LaterExecutor executor_;
  MemoryBackend disk_{kMiB, executor_};
  std::unique_ptr<VirtioPci> pci_;
};

}  // namespace
}  // namespace emu

extern "C" int LLVMFuzzerTestOneInput(const emu::u8* data, std::size_t size) {
  emu::set_log_level(emu::LogLevel::kError);
  if (size == 0) return 0;
  emu::Rig rig(data[0] % 2 != 0);
  for (std::size_t i = 1; i + 5 <= size && i < 4096; i += 5) rig.step({data + i, 5});
  rig.finish();
  return 0;
}
