// SPDX-License-Identifier: Apache-2.0
// An ATA hard disk.
// Source: ATA/ATAPI-7 volume 1 6 (commands); ACS-2 7.10 (DATA SET MANAGEMENT); ATA-3 7.27 (SMART
// data layout).
// Threads: the machine lock is held by every caller.
// Not modelled: security, host protected area, queued commands, microcode download, power timers.
#pragma once

#include "base/log.h"
#include "devices/storage/ata_identify.h"
#include "devices/storage/ide_drive.h"

namespace emu {

class AtaDisk final : public IdeDrive {
 public:
  // `backend` must outlive this, and must have been drained before this is destroyed.
  AtaDisk(Wires wires, BlockBackend& backend, DriveIdentity identity);

  void power_on() override;
  void transfer(StateIo& io) override;

 private:
  // What the backend is asked for, or the DMA engine is waiting for.
  enum class Task : u8 { kReadPio, kWritePio, kReadDma, kWriteDma, kFlush, kFetchTrim, kTrim };
  // How a data command names its sectors and moves them.
  struct DataCommand {
    Task task;
    bool is_ext = false;
    bool is_multiple = false;
    bool is_forced = false;  // FUA: on stable storage before it completes
  };

  void execute(u8 command) override;
  bool execute_data(u8 command);
  bool execute_power(u8 command);
  void execute_other(u8 command);
  void set_signature() override;
  [[nodiscard]] u8 reset_status() const override { return ata::kDrdy | ata::kDsc; }
  [[nodiscard]] BlockBackend* backend() override { return &backend_; }
  void data_in_done() override;
  void data_out_done() override;
  void run_dma() override;
  void issue() override;

  void start_data(const DataCommand& command);
  void verify(bool is_ext);
  bool take_range(bool is_ext);
  [[nodiscard]] u64 address(bool is_ext);
  void show_address(u64 lba, bool is_ext);
  void read_chunk();
  void ask_for_chunk(bool interrupt);
  void issue_pio();
  void issue_dma();
  void issue_flush();
  void issue_trim();
  void dma_moved(const DmaMapping& mapping, u64 sectors, const Result<void>& result);
  void written();
  void all_moved();
  void failed(const Error& error);
  void start_flush();
  void start_trim();
  void fetch_trim();
  void identify();
  void initialize_parameters();
  void read_native_max(bool is_ext);
  void set_features();
  void set_multiple();
  void smart();
  void send_smart(u8 kind);
  [[nodiscard]] u64 sectors() const { return backend_.size_bytes() / ata::kSectorBytes; }
  [[nodiscard]] u64 block_bytes() const;

  // wires
  BlockBackend& backend_;
  // parts
  const DriveIdentity identity_;
  Geometry default_geometry_;
  RateLimit complaints_{20};
  // state (saved)
  Task task_ = Task::kReadPio;
  bool is_ext_ = false;
  bool is_multiple_ = false;
  bool is_forced_ = false;
  u64 lba_ = 0;        // of the next sector to move
  u64 remaining_ = 0;  // sectors
  u64 chunk_ = 0;      // sectors in the buffer
  u64 trim_at_ = 0;    // next range in the buffer, in bytes
  u64 trim_end_ = 0;
  u8 heads_ = 16;  // of the current translation
  u8 sectors_per_track_ = 63;
  u8 multiple_sectors_ = kMaxMultipleSectors;
  bool write_cache_ = true;
  bool smart_ = true;
  bool is_standby_ = false;
  u8 transfer_mode_ = 0x08;
};

}  // namespace emu
