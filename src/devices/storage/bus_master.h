// SPDX-License-Identifier: Apache-2.0
// One channel of a PIIX bus-master IDE interface: eight registers and the walk along a table of
// physical region descriptors.
// Source: Intel 82371SB data sheet (290550) 2.5.2, 3.4; "Programming Interface for Bus Master IDE
// Controller" 1.0.
// Threads: the machine lock is held by every caller.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "base/state_io.h"
#include "memory/address_space.h"

namespace emu {

// Where a transfer goes in memory. RAM is used in place; what is not plain RAM goes through
// buffers of our own.
class DmaMapping {
 public:
  // Host memory in transfer order; valid as long as the mapping.
  [[nodiscard]] const std::vector<std::span<u8>>& pieces() const { return pieces_; }
  [[nodiscard]] u64 length_bytes() const { return length_bytes_; }
  // After data has been put into the pieces: makes it visible to the guest.
  void publish(AddressSpace& memory) const;

 private:
  friend class BusMaster;
  struct Target {
    u64 address;
    std::span<u8> bytes;
    bool in_place;
  };
  std::vector<std::span<u8>> pieces_;
  std::vector<Target> targets_;
  std::vector<std::vector<u8>> buffers_;
  u64 buffered_bytes_ = 0;
  u64 length_bytes_ = 0;
};

class BusMaster {
 public:
  // `memory` must outlive this. `started` is called when the guest sets the start bit, `stopped`
  // when it clears it during a transfer.
  BusMaster(AddressSpace& memory, std::function<void()> started, std::function<void()> stopped);

  // Registers 0..7: command, reserved, status, reserved, table address (4 bytes).
  [[nodiscard]] u8 read(unsigned offset) const;
  void write(unsigned offset, u8 value);

  [[nodiscard]] bool is_active() const { return (status_ & ata_active()) != 0; }
  // Collects the first `length_bytes` of the guest's table; less if the table is shorter. A
  // transfer through too many non-RAM pages ends short, too.
  [[nodiscard]] DmaMapping map(u64 length_bytes, bool to_memory);
  // The device has moved everything. The active bit stays if the table has more.
  void finish();
  // The table was too short: the engine stops, and no interrupt says so.
  void run_dry();
  void fail();
  // The drive's interrupt line rose.
  void note_interrupt();
  [[nodiscard]] AddressSpace& memory() { return memory_; }

  void reset();
  void transfer(StateIo& io);

 private:
  struct Region {
    u64 address;
    u64 length_bytes;
    bool is_last;
  };
  static constexpr u8 ata_active() { return 1; }
  [[nodiscard]] Region read_region(unsigned index) const;
  bool add(DmaMapping& mapping, u64 address, u64 length_bytes, bool to_memory);
  void write_command(u8 value);

  // wires
  AddressSpace& memory_;
  const std::function<void()> started_;
  const std::function<void()> stopped_;
  // state (saved)
  u8 command_ = 0;
  u8 status_ = 0;
  u32 table_ = 0;
  bool table_has_more_ = false;
};

}  // namespace emu
