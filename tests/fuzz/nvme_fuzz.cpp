// SPDX-License-Identifier: Apache-2.0
// The input is what a hostile guest does to an NVMe controller: six bytes a step. Queues, lists and
// data lie in a little RAM that the steps scribble over.
#include "base/log.h"
#include "devices/storage/nvme_controller.h"
#include "disk_cards_rig.h"

namespace emu {
namespace {

class Rig : DiskCardsRig {
 public:
  Rig() : nvme_(bus, pci::devfn(3, 0), "nvme", disk, "fuzz") {
    nvme_.reset();
    nvme_.write_config(0x10, 4, kBar);
    nvme_.write_config(4, 2, 6);
    start();
  }
  void step(std::span<const u8> s) {
    const u64 at = u64{s[1]} << 8 | s[2];
    switch (s[0] % 8) {
      case 0:
        return set(at % 0x4000 & ~u64{3}, 4, load_le<u16>(&s[3]));
      case 1:
        return space.store(at % kRamBytes, 8, u64{s[3]} << 8 | u64{s[4]} << 60 | s[5]);
      case 2:
        return command(0, s);
      case 3:
      case 4:
        return command(1, s);
      case 5:
        return start();
      case 6:
        return set(nvme::kDoorbells + 4 * (s[1] % 8u), 4, s[2] % 10u);
      default:
        return executor.run();
    }
  }
  void finish() {
    executor.run();
    nvme_.reset();
  }

 private:
  static constexpr u64 kQueues[4] = {0x0, 0x1000, 0x2000, 0x3000};  // admin, then I/O: sq, cq
  void start() {
    set(nvme::kCc, 4, 0);
    set(nvme::kAqa, 4, 0x00070007);
    set(nvme::kAsq, 4, kQueues[0]);
    set(nvme::kAcq, 4, kQueues[1]);
    set(nvme::kCc, 4, 6u << 16 | 4u << 20 | nvme::kCcEnable);
    tails_ = {};
    const u8 cq[6] = {0, nvme::kCreateCq, 0x30, 1, 7, 3};
    const u8 sq[6] = {0, nvme::kCreateSq, 0x20, 1, 7, 1};
    command(0, cq);
    command(0, sq);
  }
  // Opcode, page of the data, low bytes of words 10 and 11 (a queue's number and size, or a block).
  void command(unsigned queue, std::span<const u8> s) {
    const u64 at = kQueues[queue * 2] + tails_[queue] * nvme::kCommandBytes;
    space.store(at, 4, s[1] % 16u | (s[5] & 0x40u) << 8 | u32{++id_} << 16);
    space.store(at + 4, 4, s[5] % 8 == 7 ? 2 : 1);
    space.store(at + 24, 8, s[2] * 0x100u);
    space.store(at + 32, 8, u64{s[5]} << 56 | s[4] * 0x100u);
    space.store(at + 40, 4, queue == 0 ? u32{s[4]} << 16 | s[3] : s[3] * 16u);
    space.store(at + 44, 4, queue == 0 ? 1u << 16 | s[5] : 4);
    space.store(at + 48, 4, s[5] % 32u);
    tails_[queue] = (tails_[queue] + 1) % 8;
    set(nvme::kDoorbells + 8 * queue, 4, tails_[queue]);
  }

  NvmeController nvme_;
  std::array<u32, 2> tails_{};
  u16 id_ = 0;
};

}  // namespace
}  // namespace emu

extern "C" int LLVMFuzzerTestOneInput(const emu::u8* data, std::size_t size) {
  emu::set_log_level(emu::LogLevel::kError);
  emu::Rig rig;
  for (std::size_t i = 0; i + 6 <= size && i < 4096; i += 6) rig.step({data + i, 6});
  rig.finish();
  return 0;
}
