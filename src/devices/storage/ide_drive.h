// SPDX-License-Identifier: Apache-2.0
// What ATA disks and ATAPI drives share: task file, status, interrupt request, the PIO data
// buffer, DMA, and waiting for the backend.
// Source: ATA/ATAPI-7 volume 1: 5; volume 2: 6.
// Threads: the machine lock is held by every caller; backends complete through the Executor, under
// that lock.
#pragma once

#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "base/state_io.h"
#include "block/block_backend.h"
#include "devices/storage/ata_spec.h"
#include "devices/storage/bus_master.h"

namespace emu {

// The registers of one drive. For 48-bit commands each register remembers its previous value.
struct TaskFile {
  u8 features = 0;
  u8 error = 0;
  u8 count = 0;
  u8 low = 0;
  u8 mid = 0;
  u8 high = 0;
  u8 device = 0;
  u8 previous_features = 0;
  u8 previous_count = 0;
  u8 previous_low = 0;
  u8 previous_mid = 0;
  u8 previous_high = 0;
};

class IdeDrive {
 public:
  struct Wires {
    BusMaster& dma;
    std::function<void()> interrupt_changed;
  };
  explicit IdeDrive(Wires wires) : wires_(std::move(wires)) {}
  virtual ~IdeDrive() = default;
  IdeDrive(const IdeDrive&) = delete;
  IdeDrive& operator=(const IdeDrive&) = delete;

  // Bus side. Registers 1..6; `previous`: the HOB bit asks for the byte before.
  [[nodiscard]] u8 read_register(unsigned number, bool previous) const;
  void write_register(unsigned number, u8 value);
  void write_command(u8 command);
  [[nodiscard]] u8 status() const { return status_; }
  // Data port, `size` 1, 2 or 4 bytes; without a transfer it reads zero and ignores writes.
  [[nodiscard]] u32 read_data(unsigned size);
  void write_data(unsigned size, u32 value);
  // The same for many accesses, up to the end of the block; returns the bytes moved.
  [[nodiscard]] u64 read_data_string(unsigned size, std::span<u8> out);
  [[nodiscard]] u64 write_data_string(unsigned size, std::span<const u8> in);

  [[nodiscard]] bool interrupt_pending() const { return interrupt_pending_; }
  void clear_interrupt();
  // SRST: everything stops, the registers show the device's signature.
  void soft_reset();
  // EXECUTE DEVICE DIAGNOSTIC, which ends with an interrupt.
  void diagnose();
  virtual void power_on();
  void dma_started();
  void dma_stopped();

  virtual void transfer(StateIo& io);
  virtual void resumed();

 protected:
  enum class Phase : u8 { kIdle, kDataIn, kDataOut, kDmaWait, kBackend };
  static constexpr u64 kMaxBufferBytes = 128 * kKiB;

  virtual void execute(u8 command) = 0;
  virtual void set_signature() = 0;
  // Status after a reset.
  [[nodiscard]] virtual u8 reset_status() const = 0;
  [[nodiscard]] virtual BlockBackend* backend() = 0;
  // The buffer was read to its end; filled to its end.
  virtual void data_in_done() = 0;
  virtual void data_out_done() = 0;
  // A block of `length_bytes` is about to be offered or asked for.
  virtual void block_begins(u64 length_bytes) { static_cast<void>(length_bytes); }
  // The bus master runs: move the data of the command.
  virtual void run_dma() = 0;
  // Starts the backend request that the state describes; also after a load.
  virtual void issue() = 0;

  // Ends the command: ready, no error, with or without an interrupt.
  void succeed();
  void succeed_quietly();
  // Ends the command with ERR and this Error register.
  void abort(u8 error = ata::kAbrt);
  void set_status(u8 status) { status_ = status; }
  void raise_interrupt();

  // The first `data_bytes` of buffer() go to the guest in blocks, an interrupt before each.
  void send_data(u64 data_bytes, u64 block_bytes);
  // The guest fills buffer() with `data_bytes`; an interrupt before each block but the first, and
  // before that if `interrupt_first`.
  void receive_data(u64 data_bytes, u64 block_bytes, bool interrupt_first);
  // The first `bytes` of buffer() belong to the state.
  void keep_buffer(u64 bytes) { position_ = block_end_ = data_end_ = bytes; }
  void wait_for_dma();
  // Enters kBackend and calls issue() as soon as no request from before a reset is left.
  void start_backend();
  // For issue(): submits, and calls `then` unless the drive was reset meanwhile.
  void submit(BlockRequest request, std::function<void(const Result<void>&)> then);
  void cancel();

  [[nodiscard]] std::vector<u8>& buffer() { return *buffer_; }
  [[nodiscard]] TaskFile& registers() { return registers_; }
  [[nodiscard]] BusMaster& dma() { return wires_.dma; }
  [[nodiscard]] Phase phase() const { return phase_; }

 private:
  void begin_block(bool interrupt);
  void block_ended();

  // wires
  Wires wires_;
  // state (saved)
  TaskFile registers_;
  u8 status_ = 0;
  bool interrupt_pending_ = false;
  Phase phase_ = Phase::kIdle;
  u64 position_ = 0;  // in buffer_
  u64 block_end_ = 0;
  u64 data_end_ = 0;
  u64 block_bytes_ = 512;
  // Shared with requests under way, which may outlast the command that made them.
  std::shared_ptr<std::vector<u8>> buffer_ = std::make_shared<std::vector<u8>>(kMaxBufferBytes);
  // scratch (rebuilt)
  u64 generation_ = 0;  // counts resets
  unsigned in_flight_ = 0;
  bool issue_waits_ = false;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace emu
