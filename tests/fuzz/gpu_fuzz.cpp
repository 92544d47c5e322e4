// SPDX-License-Identifier: Apache-2.0
// The input is what a hostile driver asks of a virtio-gpu: eight bytes a step, a command with odd
// numbers in it, bytes of guest memory, a register, and somebody who looks at the picture.
#include "base/bits.h"
#include "base/check.h"
#include "base/log.h"
#include "devices/pci/pci_bus.h"
#include "devices/video/virtio_gpu.h"
#include "devices/virtio/virtio_pci.h"

namespace emu {
namespace {

class NoInterrupts final : public MsiSink {
 public:
  void send_msi(u64, u32) override {}
};

class Rig {
 public:
  Rig() {
    memory_->add(*ram_region_, 0);
    auto made = std::make_unique<VirtioGpu>(space_, 0x038000);
    gpu_ = made.get();
    device_ = std::make_unique<VirtioPci>(bus_, kDevfn, "gpu", std::move(made),
                                          VirtioPci::Interface::kModern);
    device_->reset();
    bus_.write_config(0, kDevfn, 0x20, 4, kBar);
    bus_.write_config(0, kDevfn, 4, 2, 7);
    start();
  }
  void step(const u8* s) {
    const u32 value = load_le<u32>(s + 4);
    switch (s[0] % 8) {
      case 0:
        return space_.store(kBar + (u64{s[1]} << 8 | s[2]) % 0x4000, 1u << (s[3] & 3), value);
      case 1:
        return space_.store((u64{s[1]} << 8 | s[2]) % kRamBytes, 4, value);
      case 2:
        return gpu_->set_preferred_size(s[4] * 16u, s[5] * 16u);
      case 3:
        return look();
      default:
        return command(s);
    }
  }

 private:
  static constexpr u8 kDevfn = pci::devfn(3, 0);
  static constexpr u64 kBar = 0xe0000000, kRamBytes = 64 * kKiB;
  static constexpr u64 kCommand = 0x8000, kAnswer = 0x9000;

  void set(u32 offset, unsigned size, u64 value) { space_.store(kBar + offset, size, value); }
  // As a driver starts it: two split rings of 8 (VIRTIO 1.2, 3.1.1).
  void start() {
    for (const u32 status : {0u, 1u, 3u}) set(virtio::kDeviceStatus, 1, status);
    set(virtio::kDriverFeatureSelect, 4, 1);
    set(virtio::kDriverFeature, 4, 1);
    set(virtio::kDeviceStatus, 1, 11);
    for (u32 queue = 0; queue < 2; ++queue) {
      set(virtio::kQueueSelect, 2, queue);
      set(virtio::kQueueSize, 2, 8);
      set(virtio::kQueueDescriptors, 8, queue * 0x1000);
      set(virtio::kQueueDriver, 8, queue * 0x1000 + 0x400);
      set(virtio::kQueueDevice, 8, queue * 0x1000 + 0x800);
      set(virtio::kQueueEnable, 2, 1);
    }
    set(virtio::kDeviceStatus, 1, 15);
  }
  // Numbers near the edges are what matters.
  static u32 odd(u8 byte) {
    static constexpr u32 kOdd[] = {0,     1,          2,          7,          8,
                                   9,     64,         65,         1024,       16384,
                                   16385, 0x7fffffff, 0x80000000, 0xfffffff8, 0xffffffff};
    return byte < 192 ? byte % 64u : kOdd[byte % std::size(kOdd)];
  }
  void command(const u8* s) {
    const bool is_cursor = s[1] % 4 == 3;
    const u32 type = is_cursor ? 0x300u + s[2] % 3 : 0x100u + s[2] % 12;
    const u64 queue = is_cursor ? 1 : 0;
    u8 bytes[88] = {};
    store_le(bytes, type);
    for (u32 i = 0; i < 16; ++i)
      store_le(bytes + 24 + i * 4, odd(s[3 + (i * (1 + s[1] / 64)) % 5]));
    if (type == 0x101 && s[7] % 4 != 0) store_le<u32>(bytes + 28, 1 + s[7] % 4);
    if (type == 0x101) store_le<u32>(bytes + 24, 1 + s[3] % 4);
    if (type == 0x106) store_le<u32>(bytes + 24, 1 + s[3] % 4);
    if (type == 0x103) store_le<u32>(bytes + 40, s[6] % 16 / 15);
    if (type == 0x103) store_le<u32>(bytes + 44, s[3] % 5);
    if (type == 0x104) store_le<u32>(bytes + 40, s[3] % 5);
    if (type == 0x105) store_le<u32>(bytes + 48, s[3] % 5);
    space_.write(kCommand, bytes);
    const u64 ring = queue * 0x1000;
    space_.store(ring, 8, kCommand);
    space_.store(ring + 8, 8, sizeof bytes | u64{1} << 32 | u64{1} << 48);
    space_.store(ring + 16, 8, kAnswer);
    space_.store(ring + 24, 8, (s[1] % 8 != 0 ? 2048u : s[4]) | u64{2} << 32);
    space_.store(ring + 0x404 + 2 * (available_[queue] % 8u), 2, 0);
    space_.store(ring + 0x402, 2, ++available_[queue]);
    space_.store(kBar + 0x3000 + 4 * queue, 2, queue);
  }
  void look() {
    if (gpu_->is_showing()) gpu_->render(frame_);
    EMU_CHECK(frame_.pixels.size() == std::size_t{frame_.width} * frame_.height);
  }

  std::unique_ptr<GuestRam> ram_ = std::move(*GuestRam::create("ram", kRamBytes));
  std::unique_ptr<Region> memory_ = Region::container("memory", u64{1} << 32);
  std::unique_ptr<Region> ports_ = Region::container("ports", 0x10000);
  std::unique_ptr<Region> ram_region_ = Region::ram("ram", *ram_, 0, kRamBytes);
  AddressSpace space_{*memory_};
  NoInterrupts interrupts_;
  PciBus bus_{{*memory_, *ports_, space_, interrupts_}};
  VirtioGpu* gpu_ = nullptr;
  std::unique_ptr<VirtioPci> device_;
  u16 available_[2] = {};
  Frame frame_;
};

}  // namespace
}  // namespace emu

extern "C" int LLVMFuzzerTestOneInput(const emu::u8* data, std::size_t size) {
  emu::set_log_level(emu::LogLevel::kError);
  emu::Rig rig;
  for (std::size_t i = 0; i + 8 <= size && i < 4096; i += 8) rig.step(data + i);
  return 0;
}
