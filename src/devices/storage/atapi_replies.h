// SPDX-License-Identifier: Apache-2.0
// The answers of a CD or DVD drive that are functions of the medium alone.
// Source: MMC-3 (T10/1363D) 6; SPC-3 6.4.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "base/types.h"
#include "devices/storage/ata_identify.h"

namespace emu::atapi {

// What there is to read: one data track from block 0 on. 0 blocks: no medium.
struct Medium {
  u64 blocks = 0;
  [[nodiscard]] bool present() const { return blocks != 0; }
  // More than an 80-minute disc holds.
  [[nodiscard]] bool is_dvd() const { return blocks > 80 * 60 * 75; }
};

// `out` is 512 bytes.
void fill_identify_packet(std::span<u8> out, const DriveIdentity& identity, u8 transfer_mode);
[[nodiscard]] std::vector<u8> inquiry(const DriveIdentity& identity);
// `packet` holds 12 bytes; nothing: an invalid field.
[[nodiscard]] std::optional<std::vector<u8>> read_toc(std::span<const u8> packet,
                                                      const Medium& medium);
// `physical_interface`: MMC-3 5.3.2, 1 SCSI, 2 ATAPI.
[[nodiscard]] std::vector<u8> get_configuration(std::span<const u8> packet, const Medium& medium,
                                                u8 physical_interface);
// The mode pages asked for, without a header; nothing: no such page.
[[nodiscard]] std::optional<std::vector<u8>> mode_pages(u8 page, bool is_locked);
[[nodiscard]] std::vector<u8> disc_information();
[[nodiscard]] std::vector<u8> track_information(const Medium& medium);
[[nodiscard]] std::optional<std::vector<u8>> dvd_structure(u8 format, const Medium& medium);
// One 2352-byte block around 2048 bytes of data: sync, header, no error correction.
void make_raw_block(std::span<u8> raw, std::span<const u8> data, u32 lba);

}  // namespace emu::atapi
