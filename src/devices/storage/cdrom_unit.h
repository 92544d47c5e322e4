// SPDX-License-Identifier: Apache-2.0
// A CD or DVD drive as a SCSI unit: its commands, its tray and its disc, whatever carries the
// commands.
// Source: MMC-3 (T10/1363D) 6; SFF-8020i; SPC-4 (T10/1731-D) 6.
// Threads: the machine lock is held by every caller.
// Not modelled: audio playback, several tracks or sessions, error correction bytes, MODE SELECT.
#pragma once

#include "devices/storage/atapi_replies.h"
#include "devices/storage/scsi_unit.h"

namespace emu {

class CdromUnit final : public ScsiUnit {
 public:
  enum class Link : u8 { kAtapi, kScsi };
  // `medium` (may be null: an empty drive) must outlive its stay in the drive.
  CdromUnit(BlockBackend* medium, DriveIdentity identity, Link link);

  // The operator's side. Puts a disc in (closing the tray) or takes it out (null); the guest hears
  // of it. The old medium must have been drained.
  void change_medium(BlockBackend* medium);
  // `changing` is called before a medium is changed, `changed` after it.
  void watch_medium(std::function<void()> changing, std::function<void()> changed);
  // Whether the guest has locked the tray.
  [[nodiscard]] bool is_locked() const { return is_locked_; }
  // Asks a guest that locked the tray to let the disc go.
  void request_eject();
  // The guest opened the tray (START STOP UNIT).
  [[nodiscard]] bool is_tray_open() const { return is_tray_open_; }
  [[nodiscard]] const DriveIdentity& identity() const { return identity_; }

  [[nodiscard]] ScsiPlan plan(std::span<const u8> command, const Parameters& parameters) override;
  [[nodiscard]] BlockBackend* backend() override { return medium_; }
  [[nodiscard]] u8 device_type() const override { return scsi::kTypeCdrom; }
  void reset() override;
  void transfer(StateIo& io) override;

 private:
  enum class MediaEvent : u8 { kNone, kEjectRequest, kNew, kRemoved };

  [[nodiscard]] ScsiPlan inquiry(std::span<const u8> command) const;
  [[nodiscard]] ScsiPlan read(u64 lba, u64 count, bool is_raw);
  [[nodiscard]] ScsiPlan read_cd(std::span<const u8> command);
  [[nodiscard]] ScsiPlan tell_of_medium(std::span<const u8> command);
  [[nodiscard]] ScsiPlan request_sense(u8 limit);
  [[nodiscard]] ScsiPlan mode_sense(std::span<const u8> command, bool is_ten) const;
  [[nodiscard]] ScsiPlan start_stop(u8 what);
  [[nodiscard]] ScsiPlan event_status(std::span<const u8> command);
  [[nodiscard]] ScsiPlan mechanism_status(u64 limit) const;
  // A new disc is announced once, before anything else is done with it; nothing: a disc is there
  // and was noticed.
  [[nodiscard]] scsi::Sense medium_complaint();
  [[nodiscard]] atapi::Medium medium() const;

  // wires
  BlockBackend* medium_;
  std::function<void()> changing_ = [] {};
  std::function<void()> changed_ = [] {};
  // parts
  const DriveIdentity identity_;
  const Link link_;
  // state (saved)
  bool has_changed_ = false;  // unit attention is due
  bool is_tray_open_ = false;
  bool is_locked_ = false;
  MediaEvent event_ = MediaEvent::kNone;
};

}  // namespace emu
