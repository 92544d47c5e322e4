// SPDX-License-Identifier: Apache-2.0
// An ATAPI CD/DVD-ROM drive.
// Source: ATA/ATAPI-7 volume 1 6.32 (PACKET); SFF-8020i; MMC-3 (T10/1363D).
// Threads: the machine lock is held by every caller.
// Not modelled: audio playback, several tracks or sessions, error correction bytes, MODE SELECT.
#pragma once

#include <array>
#include <optional>

#include "base/log.h"
#include "block/byte_file.h"
#include "devices/storage/atapi_replies.h"
#include "devices/storage/atapi_spec.h"
#include "devices/storage/ide_drive.h"

namespace emu {

class AtapiCdrom final : public IdeDrive {
 public:
  // `medium` (may be null: an empty drive) must outlive its stay in the drive.
  AtapiCdrom(Wires wires, BlockBackend* medium,
             DriveIdentity identity = {"EMU00002", "EMU CD-ROM", "1.0"});

  // The operator's side. Puts a disc in (closing the tray) or takes it out (null); the guest hears
  // of it. The old medium must have been drained.
  void change_medium(BlockBackend* medium);
  // Whether the guest has locked the tray.
  [[nodiscard]] bool is_locked() const { return is_locked_; }
  // Asks a guest that locked the tray to let the disc go.
  void request_eject();
  // The guest opened the tray (START STOP UNIT).
  [[nodiscard]] bool is_tray_open() const { return is_tray_open_; }

  void power_on() override;
  void transfer(StateIo& io) override;

 private:
  enum class Task : u8 { kPacket, kReply, kRead };
  enum class MediaEvent : u8 { kNone, kEjectRequest, kNew, kRemoved };

  void execute(u8 command) override;
  void set_signature() override;
  // A packet device is not "ready" before it got a command.
  [[nodiscard]] u8 reset_status() const override { return 0; }
  [[nodiscard]] BlockBackend* backend() override { return medium_; }
  void data_in_done() override;
  void data_out_done() override;
  void block_begins(u64 length_bytes) override;
  void run_dma() override;
  void issue() override;

  void device_reset();
  void refuse_with_signature();
  void receive_packet();
  void run_packet();
  void run_read_operation();
  void run_information_operation();
  // Answers the packet with at most `limit` bytes.
  void reply(std::vector<u8> bytes, u64 limit);
  void read_blocks(u64 lba, u64 count, u64 block_bytes);
  void read_cd();
  void read_chunk();
  void issue_pio_read();
  void issue_dma_read();
  void test_unit_ready();
  void request_sense();
  void mode_sense(bool is_ten);
  void start_stop();
  void prevent_allow();
  void get_event_status();
  void mechanism_status();
  void read_capacity();
  void finish_packet();
  void check_condition(const atapi::Sense& sense);
  void host_failed(const Error& error);
  // Sense for commands that need a disc; nothing if it is there and was noticed.
  [[nodiscard]] bool is_medium_missing();
  [[nodiscard]] atapi::Medium medium() const;
  [[nodiscard]] u16 packet16(unsigned at) const;
  [[nodiscard]] u32 packet32(unsigned at) const;

  // wires
  BlockBackend* medium_;
  // parts
  const DriveIdentity identity_;
  RateLimit complaints_{20};
  // state (saved)
  Task task_ = Task::kPacket;
  std::array<u8, atapi::kPacketBytes> packet_{};
  atapi::Sense sense_;
  bool uses_dma_ = false;
  u64 byte_limit_ = 2;   // of a PIO block
  u64 reply_bytes_ = 0;  // in the buffer
  u64 lba_ = 0;
  u64 remaining_ = 0;  // blocks
  u64 chunk_ = 0;      // blocks in the buffer
  u64 block_bytes_ = atapi::kBlockBytes;
  bool has_changed_ = false;  // unit attention is due
  bool is_tray_open_ = false;
  bool is_locked_ = false;
  MediaEvent event_ = MediaEvent::kNone;
  u8 transfer_mode_ = 0x08;
};

}  // namespace emu
