// SPDX-License-Identifier: Apache-2.0
// The 512 bytes that IDENTIFY DEVICE returns.
// Source: ATA/ATAPI-7 volume 1 6.17; ACS-2 7.12.7 (words 69, 105, 169, 217).
#pragma once

#include <span>
#include <string>

#include "base/types.h"

namespace emu {

// What a drive is called.
struct DriveIdentity {
  std::string serial = "EMU00001";     // at most 20 characters
  std::string model = "EMU HARDDISK";  // at most 40
  std::string firmware = "1.0";        // at most 8
};

struct Geometry {
  u32 cylinders = 0;
  u32 heads = 16;
  u32 sectors_per_track = 63;
};

// The parts of the answer that change.
struct DiskIdentifyState {
  u64 sectors = 0;
  Geometry default_geometry;
  Geometry current_geometry;
  u8 multiple_sectors = 0;  // 0: READ MULTIPLE is off
  bool write_cache = true;
  bool smart = true;
  u8 transfer_mode = 0x08;  // as SET FEATURES 03h got it
};

inline constexpr u8 kMaxMultipleSectors = 16;

// ATA strings: padded with spaces, the two characters of a word swapped.
void put_ata_string(std::span<u8> out, const std::string& text);
// `out` is 512 bytes.
void fill_identify(std::span<u8> out, const DriveIdentity& identity,
                   const DiskIdentifyState& state);
// Words 62, 63 and 88: which DMA modes exist and which one is selected.
void put_transfer_modes(std::span<u8> out, u8 transfer_mode);

}  // namespace emu
