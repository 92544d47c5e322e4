// SPDX-License-Identifier: Apache-2.0
// An IDE controller with memory, wires that record, and disks in memory; and the steps that a
// driver takes.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/bits.h"
#include "block/test_backends.h"
#include "devices/recording_irq.h"
#include "devices/storage/ide_controller.h"
#include "memory/address_space.h"

namespace emu {

// Keeps completions until the test lets them happen.
class ManualExecutor final : public Executor {
 public:
  void post(std::function<void()> work) override { queue_.push_back(std::move(work)); }
  void run() {
    while (!queue_.empty()) {
      const auto work = std::move(queue_.front());
      queue_.pop_front();
      work();
    }
  }
  [[nodiscard]] bool idle() const { return queue_.empty(); }

 private:
  std::deque<std::function<void()>> queue_;
};

struct IdeRig {
  static constexpr u64 kRamBytes = 4 * kMiB;

  explicit IdeRig(u64 disk_bytes = 64 * kMiB) : disk(disk_bytes, executor) {
    memory->add(*ram_region, 0);
  }

  // Port accesses of the primary channel.
  u8 in(unsigned reg) { return static_cast<u8>(ide.command_ports(0).read(reg, 1)); }
  u32 in_data(unsigned size) { return static_cast<u32>(ide.command_ports(0).read(0, size)); }
  void out(unsigned reg, unsigned value) { ide.command_ports(0).write(reg, 1, value & 0xff); }
  void out_data(unsigned size, u32 value) { ide.command_ports(0).write(0, size, value); }
  u8 alternate() { return static_cast<u8>(ide.control_ports(0).read(0, 1)); }
  void control(u8 value) { ide.control_ports(0).write(0, 1, value); }
  u8 master_in(unsigned offset) { return static_cast<u8>(ide.bus_master().read(offset, 1)); }
  void master_out(unsigned offset, unsigned size, u32 value) {
    ide.bus_master().write(offset, size, value);
  }

  // Command with a 28-bit address.
  void command28(u8 code, u32 lba, u8 count, u8 device = 0) {
    out(6, 0xe0u | device | lba >> 24);
    out(2, count);
    out(3, lba);
    out(4, lba >> 8);
    out(5, lba >> 16);
    out(7, code);
  }
  // Command with a 48-bit address.
  void command48(u8 code, u64 lba, u16 count) {
    out(6, 0xe0);
    out(2, count >> 8u);
    out(2, count);
    for (const unsigned shift : {24u, 0u}) {
      out(3, static_cast<u8>(lba >> shift));
      out(4, static_cast<u8>(lba >> (shift + 8)));
      out(5, static_cast<u8>(lba >> (shift + 16)));
    }
    out(7, code);
  }
  std::vector<u8> read_block(u64 bytes, unsigned size = 2) {
    std::vector<u8> block(bytes);
    for (u64 i = 0; i < bytes; i += size) {
      const u32 value = in_data(size);
      std::memcpy(&block[i], &value, size);
    }
    return block;
  }
  void write_block(std::span<const u8> block, unsigned size = 2) {
    for (u64 i = 0; i < block.size(); i += size) {
      u32 value = 0;
      std::memcpy(&value, &block[i], size);
      out_data(size, value);
    }
  }
  // A descriptor table at `table`; the last entry is marked.
  struct Piece {
    u32 address;
    u32 bytes;
  };
  void make_table(u32 table, const std::vector<Piece>& pieces) {
    for (const Piece& p : pieces) {
      space.store(table, 4, p.address);
      space.store(table + 4, 4, (p.bytes & 0xffff) | (&p == &pieces.back() ? 0x80000000u : 0u));
      table += 8;
    }
  }
  std::vector<u8> guest(u64 address, u64 bytes) {
    std::vector<u8> out_bytes(bytes);
    space.read(address, out_bytes);
    return out_bytes;
  }
  std::vector<u8> on_disk(u64 offset, u64 bytes) {
    std::vector<u8> out_bytes(bytes);
    EXPECT_TRUE(disk.contents().read_flat(offset, out_bytes));
    return out_bytes;
  }
  static std::vector<u8> pattern(u64 bytes, u8 seed) {
    std::vector<u8> out_bytes(bytes);
    for (u64 i = 0; i < bytes; ++i) out_bytes[i] = static_cast<u8>(seed + i * 7 + (i >> 9) * 13);
    return out_bytes;
  }

  std::unique_ptr<GuestRam> ram = std::move(*GuestRam::create("ram", kRamBytes));
  std::unique_ptr<Region> memory = Region::container("memory", u64{1} << 32);
  std::unique_ptr<Region> ram_region = Region::ram("ram", *ram, 0, kRamBytes);
  AddressSpace space{*memory};
  ManualExecutor executor;
  MemoryBackend disk;
  RecordingIrq irq;  // 0 primary, 1 secondary
  IdeController ide{space, irq.line(0), irq.line(1)};
};

}  // namespace emu
