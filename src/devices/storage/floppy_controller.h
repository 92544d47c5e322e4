// SPDX-License-Identifier: Apache-2.0
// Intel 82077AA floppy disk controller with up to two drives.
// Source: Intel 82077AA data sheet (290166); OSDev "Floppy Disk Controller".
// Threads: the machine lock is held by every caller; backends complete through the Executor, under
// that lock.
// Not modelled: rotation and stepping time (seeks end at once), data rates, deleted address marks,
// scan commands, transfers without DMA, tape drives.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "block/block_backend.h"
#include "devices/chipset/i8237.h"
#include "devices/device.h"
#include "devices/io_window.h"
#include "devices/irq_line.h"
#include "devices/storage/floppy_spec.h"

namespace emu {

class FloppyController final : public Device {
 public:
  static constexpr unsigned kDrives = 2;
  static constexpr u64 kPortBytes = 6;        // ports 3F0h-3F5h
  static constexpr u64 kChangePortBytes = 1;  // port 3F7h

  struct Wires {
    IrqLine interrupt;  // ISA 6
    I8237Pair& dma;
    unsigned dma_channel = 2;
  };
  explicit FloppyController(Wires wires);

  // Puts a disk in (or, with null, takes it out); the guest sees the change line. The old disk must
  // have been drained, the new one outlives its stay. Disks of other sizes are treated as the next
  // larger format.
  void change_medium(unsigned drive, BlockBackend* medium);
  // What CMOS register 10h says about the drive: 0 none, 4 for 1.44 MiB, ... A drive exists once a
  // disk was put in.
  [[nodiscard]] u8 cmos_type(unsigned drive) const { return drives_[drive].cmos_type; }

  [[nodiscard]] IoHandler& ports() { return ports_; }
  [[nodiscard]] IoHandler& change_port() { return change_port_; }

  [[nodiscard]] std::string_view name() const override { return "floppy"; }
  void reset() override;
  void transfer(StateIo& io) override;
  void resumed() override;

 private:
  enum class Phase : u8 { kCommand, kBackendRead, kBackendWrite, kResult };
  struct Drive {
    BlockBackend* medium = nullptr;
    fdc::Format format = fdc::kDefaultFormat;
    u8 cmos_type = 0;
    u8 track = 0;
    bool has_changed = true;
  };
  struct Address {
    u8 cylinder = 0;
    u8 head = 0;
    u8 sector = 1;
  };

  u64 read(u64 offset, unsigned size);
  void write(u64 offset, unsigned size, u64 value);
  u64 read_change(u64 offset, unsigned size);
  void write_change(u64 offset, unsigned size, u64 value);

  void write_digital_output(u8 value);
  void controller_reset();
  void leave_reset();
  [[nodiscard]] u8 main_status() const;
  [[nodiscard]] u8 read_fifo();
  void write_fifo(u8 value);
  [[nodiscard]] static unsigned command_bytes(u8 command);
  void execute();
  void execute_control(u8 command);
  void give_result(std::vector<u8> bytes, bool interrupt);
  void set_interrupt(bool pending);
  void update_interrupt();

  void seek(unsigned drive, u8 track);
  void sense_interrupt();
  void sense_drive();
  void dump_registers();
  void start_read();
  void start_write();
  void start_format();
  void read_id();
  [[nodiscard]] bool check_address();
  [[nodiscard]] u64 sectors_to_end() const;
  [[nodiscard]] u64 byte_offset() const;
  void issue();
  void read_done(const Result<void>& result);
  void write_done(const Result<void>& result);
  void advance(u64 sectors);
  void finish_transfer(u8 st0, u8 st1, u8 st2);
  [[nodiscard]] Drive& selected() { return drives_[command_[1] & 1]; }
  [[nodiscard]] const Drive& selected() const { return drives_[command_[1] & 1]; }

  // wires
  Wires wires_;
  // parts
  IoWindow<FloppyController> ports_{*this, &FloppyController::read, &FloppyController::write};
  IoWindow<FloppyController> change_port_{*this, &FloppyController::read_change,
                                          &FloppyController::write_change};
  RateLimit complaints_{20};
  // state (saved; of a drive: track and change line)
  std::array<Drive, kDrives> drives_{};
  u8 digital_output_ = 0;
  u8 data_rate_ = 2;
  u8 tape_drive_ = 0;
  Phase phase_ = Phase::kCommand;
  std::array<u8, 16> command_{};
  unsigned command_length_ = 0;
  std::array<u8, 16> result_{};
  unsigned result_length_ = 0;
  unsigned result_at_ = 0;
  bool interrupt_pending_ = false;
  u8 polls_left_ = 0;   // SENSE INTERRUPT answers due after a reset
  u8 seek_status_ = 0;  // ST0 of a seek that ended, 0 if none
  u8 seek_drive_ = 0;
  std::array<u8, 3> configuration_{};
  std::array<u8, 2> timings_{};
  u8 perpendicular_ = 0;
  bool is_locked_ = false;
  Address address_;
  // Shared with requests under way, which may outlast a reset.
  std::shared_ptr<std::vector<u8>> buffer_ = std::make_shared<std::vector<u8>>();
  // scratch (rebuilt)
  u64 generation_ = 0;
  unsigned in_flight_ = 0;
  bool issue_waits_ = false;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace emu
