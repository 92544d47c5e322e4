// SPDX-License-Identifier: Apache-2.0
// The input is what a hostile guest does to a virtio SCSI host: a command of 20 bytes a step, with
// data buffers of some size, and what it does to the rings.
#include "base/log.h"
#include "devices/virtio/virtio_pci.h"
#include "devices/virtio/virtio_scsi.h"
#include "disk_cards_rig.h"

namespace emu {
namespace {

constexpr std::size_t kStep = 22;

class Rig : DiskCardsRig {
 public:
  Rig() {
    auto host = std::make_unique<VirtioScsi>(space, 1);
    host->attach_disk({0, 0}, disk, DriveIdentity{});
    cdrom_ = &host->attach_cdrom({0, 1}, &disc_, DriveIdentity{});
    pci_ = std::make_unique<VirtioPci>(bus, pci::devfn(3, 0), "scsi", std::move(host));
    pci_->reset();
    pci_->write_config(0x20, 4, kBar);
    pci_->write_config(4, 2, 7);
    start();
  }
  void step(std::span<const u8> s) {
    const u64 at = u64{s[1]} << 8 | s[2];
    switch (s[0] % 16) {
      case 0:
        return set(at % 0x4000, 4, load_le<u32>(&s[3]));
      case 1:
        return space.store(at % kRamBytes, 8, load_le<u64>(&s[3]));
      case 2:
        return start();
      case 3:
        return cdrom_->change_medium(s[1] % 2 != 0 ? &disc_ : nullptr);
      case 4:
        return offer(0, 24, 5, 0);  // a control request, as the command before left it
      case 5:
        return offer(1, 0, 16, 0);
      case 6:
        return executor.run();
      default:
        return command(s);
    }
  }
  void finish() {
    executor.run();
    pci_->reset();
  }

 private:
  static constexpr u64 kRequest = 0x8000, kAnswer = 0x8400, kData = 0x9000;
  static u64 part(u64 queue, u64 n) { return queue * 0x1000 + n * 0x400; }
  void start() {
    set(virtio::kDeviceStatus, 1, 0);
    set(virtio::kDeviceStatus, 1, 3);
    set(virtio::kDriverFeatureSelect, 4, 0);
    set(virtio::kDriverFeature, 4, 4);
    set(virtio::kDriverFeatureSelect, 4, 1);
    set(virtio::kDriverFeature, 4, 1);
    set(virtio::kDeviceStatus, 1, 11);
    for (u64 queue = 0; queue < 3; ++queue) {
      set(virtio::kQueueSelect, 2, queue);
      set(virtio::kQueueSize, 2, 8);
      for (u64 i = 0; i < 3; ++i) set(virtio::kQueueDescriptors + 8 * i, 4, part(queue, i));
      set(virtio::kQueueEnable, 2, 1);
    }
    set(virtio::kDeviceStatus, 1, 15);
  }
  // Unit, command (16 bytes), sizes of the data in and out.
  void command(std::span<const u8> s) {
    const u8 header[19] = {1, 0, 0x40, static_cast<u8>(s[1] % 3), 0, 0, 0, 0, s[2]};
    space.write(kRequest, header);
    std::array<u8, 32> bytes{};
    std::ranges::copy(s.subspan(3, 16), bytes.begin());
    space.write(kRequest + 19, bytes);
    space.store(kData, 8, load_le<u64>(&s[12]));
    offer(2, 51, 108, s[20] * 64u, s[21] * 64u);
  }
  void offer(u64 queue, u32 out, u32 in, u32 data_in, u32 data_out = 0) {
    const struct {
      u64 address;
      u32 length;
      u16 flags;
    } pieces[] = {{kRequest, out, 1}, {kData, data_out, 1}, {kAnswer, in, 3}, {kData, data_in, 2}};
    for (u64 i = 0; i < 4; ++i) {
      const u64 at = part(queue, 0) + i * 16;
      space.store(at, 8, pieces[i].address);
      space.store(at + 8, 4, pieces[i].length);
      space.store(at + 12, 2, pieces[i].flags);
      space.store(at + 14, 2, i + 1);
    }
    const u64 ring = part(queue, 1);
    const u64 index = space.load(ring + 2, 2);
    space.store(ring + 4 + index % 8 * 2, 2, out == 0 ? 2 : 0);
    space.store(ring + 2, 2, index + 1);
    set(0x3000 + 4 * queue, 2, queue);
  }

  MemoryBackend disc_{64 * 2048, executor, true};
  CdromUnit* cdrom_ = nullptr;
  std::unique_ptr<VirtioPci> pci_;
};

}  // namespace
}  // namespace emu

extern "C" int LLVMFuzzerTestOneInput(const emu::u8* data, std::size_t size) {
  emu::set_log_level(emu::LogLevel::kError);
  emu::Rig rig;
  for (std::size_t i = 0; i + emu::kStep <= size && i < 4096; i += emu::kStep)
    rig.step({data + i, emu::kStep});
  rig.finish();
  return 0;
}
