// SPDX-License-Identifier: Apache-2.0
// An IDE cable: two drives, the registers they share, one interrupt, one bus master.
// Source: ATA/ATAPI-7 volume 2: 5, 9.16 (device 1 only configurations).
// Threads: the machine lock is held by every caller.
#pragma once

#include <array>
#include <memory>

#include "devices/irq_line.h"
#include "devices/storage/ide_drive.h"

namespace emu {

class IdeChannel {
 public:
  IdeChannel(AddressSpace& memory, IrqLine interrupt);
  IdeChannel(const IdeChannel&) = delete;
  IdeChannel& operator=(const IdeChannel&) = delete;

  // What a drive on this cable is to be made with.
  [[nodiscard]] IdeDrive::Wires wires();
  // Puts a drive at `unit` (0 or 1), which must be empty.
  void attach(unsigned unit, std::unique_ptr<IdeDrive> drive);
  [[nodiscard]] bool has_drive(unsigned unit) const { return drives_[unit] != nullptr; }

  // Command block, registers 0..7; only register 0 is wider than a byte.
  [[nodiscard]] u32 read(unsigned number, unsigned size);
  void write(unsigned number, unsigned size, u32 value);
  // The data register, many times; 0 if the drive moves nothing at once.
  [[nodiscard]] u64 read_data_string(unsigned size, std::span<u8> out);
  [[nodiscard]] u64 write_data_string(unsigned size, std::span<const u8> in);
  // 3F6h: alternate status, device control.
  [[nodiscard]] u8 read_alternate_status() const { return status(); }
  void write_control(u8 value);
  [[nodiscard]] BusMaster& bus_master() { return bus_master_; }

  void reset();
  void transfer(StateIo& io);
  void resumed();

 private:
  [[nodiscard]] IdeDrive* selected() const { return drives_[selected_].get(); }
  [[nodiscard]] u8 status() const;
  void write_shared(unsigned number, u8 value);
  void write_command(u8 command);
  void diagnose();
  void update_interrupt();
  [[nodiscard]] bool interrupt_level() const;
  template <class F>
  void each_drive(F&& f) {
    for (auto& drive : drives_) {
      if (drive) f(*drive);
    }
  }

  // wires
  IrqLine interrupt_;
  // parts
  BusMaster bus_master_;
  std::array<std::unique_ptr<IdeDrive>, 2> drives_;
  // state (saved)
  u8 control_ = 0;
  u8 selected_ = 0;
  // scratch (rebuilt)
  bool level_ = false;
};

}  // namespace emu
