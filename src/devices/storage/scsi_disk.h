// SPDX-License-Identifier: Apache-2.0
// A hard disk as a SCSI unit: blocks of 512 bytes, thin provisioning, a write cache that can be
// turned off.
// Source: SBC-3 (T10/1799-D) 5, 6; SPC-4 (T10/1731-D) 6, 7.
// Threads: the machine lock is held by every caller.
// Not modelled: reservations, protection information, COMPARE AND WRITE, VERIFY that compares, unit
// attention after a reset, saved mode pages.
#pragma once

#include <string>

#include "devices/storage/ata_identify.h"
#include "devices/storage/scsi_unit.h"

namespace emu {

class ScsiDisk final : public ScsiUnit {
 public:
  // `backend` outlives this.
  ScsiDisk(BlockBackend& backend, DriveIdentity identity)
      : backend_(backend), identity_(std::move(identity)) {}

  [[nodiscard]] ScsiPlan plan(std::span<const u8> command, const Parameters& parameters) override;
  [[nodiscard]] BlockBackend* backend() override { return &backend_; }
  [[nodiscard]] u8 device_type() const override { return scsi::kTypeDisk; }
  void reset() override;
  void transfer(StateIo& io) override;

 private:
  struct Range {
    u64 first = 0;
    u64 count = 0;  // blocks
  };
  [[nodiscard]] ScsiPlan plan_other(std::span<const u8> command, const Parameters& parameters);
  [[nodiscard]] ScsiPlan move(std::span<const u8> command, bool is_read);
  [[nodiscard]] ScsiPlan verify(std::span<const u8> command) const;
  [[nodiscard]] ScsiPlan flush() const;
  [[nodiscard]] ScsiPlan unmap(std::span<const u8> command, const Parameters& parameters);
  [[nodiscard]] ScsiPlan write_same(std::span<const u8> command, const Parameters& parameters);
  [[nodiscard]] ScsiPlan request_sense(u8 limit);
  // What does not change (scsi_disk_pages.cpp).
  [[nodiscard]] ScsiPlan inquiry(std::span<const u8> command) const;
  [[nodiscard]] ScsiPlan mode_sense(std::span<const u8> command, bool is_ten) const;
  [[nodiscard]] ScsiPlan mode_select(std::span<const u8> command, bool is_ten,
                                     const Parameters& parameters);
  [[nodiscard]] ScsiPlan capacity10() const;
  [[nodiscard]] ScsiPlan capacity16(std::span<const u8> command) const;

  [[nodiscard]] u64 blocks() const { return backend_.size_bytes() / 512; }

  // wires
  BlockBackend& backend_;
  // parts
  const DriveIdentity identity_;
  // state (saved)
  bool write_cache_ = true;
};

}  // namespace emu
