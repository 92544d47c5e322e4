// SPDX-License-Identifier: Apache-2.0
// An ATAPI CD/DVD-ROM drive: the packet protocol around a CdromUnit.
// Source: ATA/ATAPI-7 volume 1 6.32 (PACKET); SFF-8020i; MMC-3 (T10/1363D).
// Threads: the machine lock is held by every caller.
#pragma once

#include <array>

#include "base/log.h"
#include "block/byte_file.h"
#include "devices/storage/atapi_spec.h"
#include "devices/storage/cdrom_unit.h"
#include "devices/storage/ide_drive.h"

namespace emu {

class AtapiCdrom final : public IdeDrive {
 public:
  // `medium` (may be null: an empty drive) must outlive its stay in the drive.
  AtapiCdrom(Wires wires, BlockBackend* medium,
             DriveIdentity identity = {"EMU00002", "EMU CD-ROM", "1.0"});

  // The drive's tray and disc.
  [[nodiscard]] CdromUnit& unit() { return unit_; }

  void power_on() override;
  void transfer(StateIo& io) override;

 private:
  enum class Task : u8 { kPacket, kReply, kRead };

  void execute(u8 command) override;
  void set_signature() override;
  // A packet device is not "ready" before it got a command.
  [[nodiscard]] u8 reset_status() const override { return 0; }
  [[nodiscard]] BlockBackend* backend() override { return unit_.backend(); }
  void data_in_done() override;
  void data_out_done() override;
  void block_begins(u64 length_bytes) override;
  void run_dma() override;
  void issue() override;

  void medium_leaves();
  void device_reset();
  void refuse_with_signature();
  void receive_packet();
  void run_packet();
  void reply(std::vector<u8> bytes);
  void read_blocks(const ScsiPlan& plan);
  void read_chunk();
  void issue_pio_read();
  void issue_dma_read();
  void finish_packet();
  void check_condition(const scsi::Sense& sense);
  void host_failed(const Error& error);

  // parts
  CdromUnit unit_;
  RateLimit complaints_{20};
  // state (saved)
  Task task_ = Task::kPacket;
  std::array<u8, atapi::kPacketBytes> packet_{};
  bool uses_dma_ = false;
  u64 byte_limit_ = 2;   // of a PIO block
  u64 reply_bytes_ = 0;  // in the buffer
  u64 lba_ = 0;
  u64 remaining_ = 0;  // blocks
  u64 chunk_ = 0;      // blocks in the buffer
  u64 block_bytes_ = atapi::kBlockBytes;
  u8 transfer_mode_ = 0x08;
};

}  // namespace emu
