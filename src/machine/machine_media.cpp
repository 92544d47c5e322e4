// SPDX-License-Identifier: Apache-2.0
// Discs and floppies that come and go while the machine runs, and what the drives are called.
// Source: qemu(1)'s monitor: "eject", "change"; the names of drives are QEMU's.
#include "block/open_disk.h"
#include "devices/storage/cdrom_unit.h"
#include "devices/storage/floppy_controller.h"
#include "machine/machine.h"

namespace emu {
CdromUnit* Machine::cdrom_at(std::size_t index) const {
  if (is_floppy_place(index)) return nullptr;
  return pc_->cdrom(index < kMaxIdeDrives ? index : index - kMaxFloppies).unit;
}

std::string Machine::drive_name(std::size_t index) const {
  if (is_floppy_place(index)) return fmt::format("floppy{}", index - kMaxIdeDrives);
  if (cdrom_at(index) == nullptr && index < kMaxIdeDrives)
    return fmt::format("ide{}-hd{}", index / 2, index % 2);
  return pc_->cdrom(index < kMaxIdeDrives ? index : index - kMaxFloppies).name;
}

// Where the drive called `name` is among disks_; "cdrom" is the first one of its kind.
Result<std::size_t> Machine::find_drive(const std::string& name) const {
  std::string known;
  for (std::size_t i = 0; i < disks_.size(); ++i) {
    const bool is_floppy = is_floppy_place(i);
    if (is_floppy ? pc_->floppy() == nullptr : cdrom_at(i) == nullptr) continue;
    const std::string own_name = drive_name(i);
    const bool has_short_name =
        is_floppy ? name == (i == kMaxIdeDrives ? "fda" : "fdb") : name == "cdrom" || name == "cd";
    if (name == own_name || has_short_name) return i;
    known += (known.empty() ? "" : ", ") + own_name;
  }
  return fail("there is no drive {} whose medium can be changed; there are: {}", name,
              known.empty() ? "none" : known);
}

Result<void> Machine::change_medium(const std::string& drive, const std::string& file, bool force) {
  const auto index = find_drive(drive);
  if (!index) return index.error();
  const bool is_floppy = is_floppy_place(*index);
  std::unique_ptr<BlockBackend> fresh;
  DriveConfig config;
  config.file = file;
  config.media = is_floppy ? DriveMedia::kFloppy : DriveMedia::kCdrom;
  if (!file.empty()) {
    auto opened = open_drive(config);
    if (!opened) return opened.error();
    fresh = std::move(*opened);
  }
  const MachineLock guard = lock();
  CdromUnit* const cdrom = cdrom_at(*index);
  if (cdrom != nullptr && cdrom->is_locked() && !force) {
    cdrom->request_eject();
    return fail(
        "the guest has locked the tray of {}; it was asked to let the disc go: try again soon, or "
        "do it by force (-f)",
        drive_name(*index));
  }
  std::unique_ptr<BlockBackend>& place = disks_[*index];
  if (place) place->drain();
  if (cdrom != nullptr) {
    cdrom->change_medium(fresh.get());
  } else {
    pc_->floppy()->change_medium(static_cast<unsigned>(*index - kMaxIdeDrives), fresh.get());
  }
  place.swap(fresh);
  note_medium(*index, file);
  return {};
}

// What a saved state says of the drive follows its medium.
void Machine::note_medium(std::size_t index, const std::string& file) {
  if (drive_of_place_[index]) media_files_[*drive_of_place_[index]] = file;
}

std::vector<std::string> Machine::describe_drives() const {
  std::vector<std::string> out;
  for (const BlockBackend* disk : disks()) out.push_back(disk->describe());
  return out;
}

std::vector<std::string> Machine::drive_lines() {
  const MachineLock guard = lock();
  std::vector<std::string> out;
  for (std::size_t i = 0; i < disks_.size(); ++i) {
    const CdromUnit* const cdrom = cdrom_at(i);
    if (disks_[i] == nullptr && cdrom == nullptr) continue;
    const std::string name = drive_name(i);
    std::string line = name.empty() ? "" : name + ": ";
    line += disks_[i] ? disks_[i]->describe() : "empty";
    if (cdrom != nullptr && cdrom->is_locked()) line += ", tray locked by the guest";
    if (cdrom != nullptr && cdrom->is_tray_open()) line += ", tray open";
    out.push_back(line);
  }
  return out;
}

}  // namespace emu
