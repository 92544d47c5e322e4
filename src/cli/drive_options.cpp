// SPDX-License-Identifier: Apache-2.0
// The words of --drive and --disk, and back.
#include <array>

#include "block/probe.h"
#include "cli/option_values.h"

namespace emu::cli {
namespace {

constexpr std::array<std::pair<std::string_view, DriveMedia>, 3> kMediaWords{{
    {"disk", DriveMedia::kDisk},
    {"cdrom", DriveMedia::kCdrom},
    {"floppy", DriveMedia::kFloppy},
}};

constexpr std::array<std::pair<std::string_view, CacheMode>, 5> kCacheWords{{
    {"writeback", CacheMode::kWriteBack},
    {"writethrough", CacheMode::kWriteThrough},
    {"unsafe", CacheMode::kUnsafe},
    {"none", CacheMode::kNone},
    {"directsync", CacheMode::kDirectSync},
}};

constexpr std::array<std::pair<std::string_view, DriveInterface>, 7> kInterfaceWords{{
    {"ide", DriveInterface::kIde},
    {"virtio", DriveInterface::kVirtio},
    {"nvme", DriveInterface::kNvme},
    {"ahci", DriveInterface::kAhci},
    {"sata", DriveInterface::kAhci},
    {"usb", DriveInterface::kUsb},
    {"scsi", DriveInterface::kScsi},
}};

Result<void> set_interface(std::string_view option, const std::string& value, DriveConfig& drive) {
  if (value == "none") return {};
  if (value == "floppy") {
    drive.media = DriveMedia::kFloppy;
    return {};
  }
  const DriveInterface* interface = find_word(kInterfaceWords, value);
  if (interface == nullptr)
    return fail("{}: if={} is not there; use if=virtio, scsi, nvme, ahci, usb, ide or floppy",
                option, value);
  drive.interface = *interface;
  return {};
}

Result<void> apply_drive_key(std::string_view option, const std::string& key,
                             const std::string& value, DriveConfig& drive) {
  if (key == "file") {
    drive.file = value;
  } else if (key == "format") {
    if (const auto known = parse_format_name(value); !known)
      return fail("{}: {}", option, known.error().message);
    drive.format = value;
  } else if (key == "if") {
    return set_interface(option, value, drive);
  } else if (key == "media") {
    const DriveMedia* media = find_word(kMediaWords, value);
    if (media == nullptr) return fail("{}: media is disk, cdrom or floppy, not {}", option, value);
    drive.media = *media;
  } else if (key == "index") {
    const auto index = parse_number(option, value, 0, kMaxIdeDrives - 1);
    if (!index) return index.error();
    drive.position = static_cast<int>(*index);
  } else if (key == "readonly" || key == "read-only" || key == "snapshot") {
    const auto on = parse_switch(option, key, value);
    if (!on) return on.error();
    (key == "snapshot" ? drive.snapshot : drive.read_only) = *on;
  } else if (key == "bootindex") {
    const auto index = parse_number(option, value, 0, 999);
    if (!index) return index.error();
    drive.boot_index = static_cast<int>(*index);
  } else if (key == "scsi-id") {
    const auto target = parse_number(option, value, 0, 255);
    if (!target) return target.error();
    drive.scsi_target = static_cast<int>(*target);
  } else if (key == "lun") {
    const auto lun = parse_number(option, value, 0, 255);
    if (!lun) return lun.error();
    drive.scsi_lun = static_cast<unsigned>(*lun);
  } else if (key == "queues") {
    const auto queues = parse_number(option, value, 1, kMaxDriveQueues);
    if (!queues) return queues.error();
    drive.queues = static_cast<unsigned>(*queues);
  } else if (key == "packed") {
    const auto on = parse_switch(option, key, value);
    if (!on) return on.error();
    drive.packed_rings = *on;
  } else if (key == "serial") {
    if (value.size() > 20) return fail("{}: serial {} is longer than 20 characters", option, value);
    drive.serial = value;
  } else if (key == "port") {
    drive.usb_port = value;
  } else if (key == "cache") {
    const CacheMode* mode = find_word(kCacheWords, value);
    if (mode == nullptr)
      return fail("{}: cache is writeback, writethrough, none, directsync or unsafe, not {}",
                  option, value);
    drive.cache = *mode;
  } else if (key == "aio") {
    if (value != "threads" && value != "native" && value != "io_uring")
      return fail("{}: aio is io_uring or threads, not {}", option, value);
    drive.use_ring = value != "threads";
  } else if (key == "key-file") {
    drive.key_file = value;
  } else if (key == "bps" || key == "throttling.bps-total" || key == "iops" ||
             key == "throttling.iops-total") {
    const auto limit = parse_number(option, value, 0, u64{1} << 40);
    if (!limit) return limit.error();
    (key.find("bps") != std::string::npos ? drive.bytes_per_second : drive.requests_per_second) =
        *limit;
  } else if (key != "id" && key != "discard") {
    return fail(
        "{}: unknown key {}; known are file, format, if, media, index, readonly, snapshot, serial, "
        "cache, aio, key-file, bps, iops, bootindex, queues, packed, scsi-id, lun, port",
        option, key);
  }
  return {};
}

}  // namespace

Result<DriveConfig> parse_drive(std::string_view option, std::string_view text) {
  DriveConfig drive;
  for (const auto& [key, value] : split_key_values(text)) {
    EMU_TRY(apply_drive_key(option, key.empty() ? "file" : key, value, drive));
  }
  if (drive.file.empty() && drive.media != DriveMedia::kCdrom) {
    return fail("{}: file= is missing", option);
  }
  if (!drive.usb_port.empty() && drive.interface != DriveInterface::kUsb)
    return fail("{}: port is for if=usb", option);
  if (drive.interface != DriveInterface::kScsi && (drive.scsi_target >= 0 || drive.scsi_lun != 0))
    return fail("{}: scsi-id and lun are for if=scsi", option);
  if (drive.interface == DriveInterface::kIde) return drive;
  const bool takes_discs =
      drive.interface == DriveInterface::kAhci || drive.interface == DriveInterface::kScsi;
  if (drive.media == DriveMedia::kFloppy || (drive.media == DriveMedia::kCdrom && !takes_discs))
    return fail("{}: a CD-ROM drive is if=ide, ahci or scsi, the other interfaces are for disks",
                option);
  if (drive.position >= 0) return fail("{}: index is for if=ide and if=floppy", option);
  return drive;
}

std::string drive_text(const DriveConfig& drive) {
  std::string out = "media=";
  for (const auto& [word, media] : kMediaWords) {
    if (media == drive.media) out += word;
  }
  for (const auto& [word, interface] : kInterfaceWords) {
    if (interface == drive.interface && drive.media != DriveMedia::kFloppy && word != "sata")
      out += fmt::format(",if={}", word);
  }
  if (!drive.file.empty()) out += ",file=" + escape_commas(drive.file);
  if (!drive.format.empty()) out += ",format=" + drive.format;
  if (drive.position >= 0) out += fmt::format(",index={}", drive.position);
  if (drive.read_only) out += ",readonly=on";
  if (drive.snapshot) out += ",snapshot=on";
  for (const auto& [word, mode] : kCacheWords) {
    if (mode == drive.cache && mode != CacheMode::kWriteBack) out += fmt::format(",cache={}", word);
  }
  if (!drive.use_ring) out += ",aio=threads";
  if (!drive.key_file.empty()) out += ",key-file=" + escape_commas(drive.key_file);
  if (drive.bytes_per_second != 0) out += fmt::format(",bps={}", drive.bytes_per_second);
  if (drive.requests_per_second != 0) out += fmt::format(",iops={}", drive.requests_per_second);
  if (drive.boot_index >= 0) out += fmt::format(",bootindex={}", drive.boot_index);
  if (drive.scsi_target >= 0) out += fmt::format(",scsi-id={}", drive.scsi_target);
  if (drive.scsi_lun != 0) out += fmt::format(",lun={}", drive.scsi_lun);
  if (drive.queues != 0) out += fmt::format(",queues={}", drive.queues);
  if (drive.packed_rings) out += ",packed=on";
  if (!drive.usb_port.empty()) out += ",port=" + escape_commas(drive.usb_port);
  if (!drive.serial.empty()) out += ",serial=" + escape_commas(drive.serial);
  return out;
}

}  // namespace emu::cli
