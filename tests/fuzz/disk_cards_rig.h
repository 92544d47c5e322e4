// SPDX-License-Identifier: Apache-2.0
// What the fuzzers of PCI disk controllers share: a bus with a little RAM, and a disk whose answers
// come later.
#pragma once

#include <deque>
#include <functional>
#include <memory>

#include "block/test_backends.h"
#include "devices/pci/pci_bus.h"
#include "memory/address_space.h"

namespace emu {

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

struct DiskCardsRig {
  static constexpr u64 kRamBytes = 64 * kKiB, kBar = 0xfe000000;

  DiskCardsRig() { memory->add(*ram_region, 0); }
  void set(u64 offset, unsigned size, u64 value) { space.store(kBar + offset, size, value); }

  std::unique_ptr<GuestRam> ram = std::move(*GuestRam::create("ram", kRamBytes));
  std::unique_ptr<Region> memory = Region::container("memory", u64{1} << 32);
  std::unique_ptr<Region> ports = Region::container("ports", 0x10000);
  std::unique_ptr<Region> ram_region = Region::ram("ram", *ram, 0, kRamBytes);
  AddressSpace space{*memory};
  NoInterrupts interrupts;
  PciBus bus{{*memory, *ports, space, interrupts}};
  LaterExecutor executor;
  MemoryBackend disk{kMiB, executor};
};

}  // namespace emu
