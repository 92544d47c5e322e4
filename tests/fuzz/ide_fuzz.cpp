// SPDX-License-Identifier: Apache-2.0
// The input is what a guest does to the IDE ports: four bytes a step, name of the step, register
// and value.
#include <deque>
#include <functional>

#include "base/log.h"
#include "block/test_backends.h"
#include "devices/storage/ide_controller.h"
#include "memory/address_space.h"

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

// A disk, a CD-ROM and memory with descriptor tables that lead to RAM and to nowhere.
class Rig {
 public:
  Rig() {
    memory_->add(*ram_region_, 0);
    ide_.attach_disk(0, 0, disk_);
    ide_.attach_cdrom(0, 1, &disc_);
    ide_.reset();
    for (u32 i = 0; i < 64; ++i) {
      space_.store(i * 8, 4, i % 8 == 7 ? 0xfffe0000u : 0x2000u + i * 0x300);
      space_.store(i * 8 + 4, 4, (i % 16 == 15 ? 0x80000000u : 0u) | i * 0x1a0);
    }
  }
  void step(std::span<const u8> s) {
    const unsigned reg = s[1] & 7;
    const u16 value = static_cast<u16>(s[2] | s[3] << 8);
    switch (s[0] % 8) {
      case 0:
        return ide_.command_ports(0).write(reg, 1, s[2]);
      case 1:
        return data(s[1], value);
      case 2:
        return static_cast<void>(ide_.command_ports(0).read(reg, 1));
      case 3:
        return ide_.control_ports(0).write(0, 1, s[2]);
      case 4:
        return ide_.bus_master().write(reg, 1, s[2]);
      case 5:
        return packet(s);
      default:
        return executor_.run();
    }
  }
  void finish() { executor_.run(); }

 private:
  // Up to 255 words in or out.
  void data(unsigned words, u16 value) {
    for (unsigned i = 0; i < words; ++i) {
      if (value % 2 == 0) {
        static_cast<void>(ide_.command_ports(0).read(0, 2));
      } else {
        ide_.command_ports(0).write(0, 2, value);
      }
    }
  }
  void packet(std::span<const u8> s) {
    auto& ports = ide_.command_ports(0);
    ports.write(6, 1, 0xb0);
    ports.write(1, 1, s[3] & 1u);
    ports.write(7, 1, 0xa0);
    const u8 bytes[12] = {s[1], 0, 0, 0, s[3], s[2], 0, 0, s[2], 0xf8, 0, 0};
    for (unsigned i = 0; i < 12; i += 2)
      ports.write(0, 2, static_cast<u16>(bytes[i] | bytes[i + 1] << 8));
  }

  static constexpr u64 kRamBytes = 64 * kKiB;
  std::unique_ptr<GuestRam> ram_ = std::move(*GuestRam::create("ram", kRamBytes));
  std::unique_ptr<Region> memory_ = Region::container("memory", u64{1} << 32);
  std::unique_ptr<Region> ram_region_ = Region::ram("ram", *ram_, 0, kRamBytes);
  AddressSpace space_{*memory_};
  LaterExecutor executor_;
  MemoryBackend disk_{kMiB, executor_};
  MemoryBackend disc_{kMiB, executor_, true};
  IdeController ide_{space_, IrqLine(), IrqLine()};
};

}  // namespace
}  // namespace emu

extern "C" int LLVMFuzzerTestOneInput(const emu::u8* data, std::size_t size) {
  emu::set_log_level(emu::LogLevel::kError);
  emu::Rig rig;
  for (std::size_t i = 0; i + 4 <= size && i < 4096; i += 4) rig.step({data + i, 4});
  rig.finish();
  return 0;
}
