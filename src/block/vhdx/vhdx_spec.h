// SPDX-License-Identifier: Apache-2.0
// The VHDX on-disk format: places, signatures and limits. All numbers are little-endian.
// Source: Microsoft, [MS-VHDX], sections 2.1 to 2.6.
#pragma once

#include <array>
#include <span>

#include "base/result.h"
#include "block/byte_file.h"

namespace emu::vhdx {

using Guid = std::array<u8, 16>;

inline constexpr u64 kUnit = 64 * kKiB;  // of the structures at the file's start
inline constexpr u64 kHeaderAt[2] = {kUnit, 2 * kUnit};
inline constexpr u64 kRegionTableAt[2] = {3 * kUnit, 4 * kUnit};
inline constexpr u64 kHeaderBytes = 4096;
inline constexpr u64 kTableBytes = kUnit;

// As the bytes lie in the file.
inline constexpr Guid kBatRegion{0x66, 0x77, 0xc2, 0x2d, 0x23, 0xf6, 0x00, 0x42,
                                 0x9d, 0x64, 0x11, 0x5e, 0x9b, 0xfd, 0x4a, 0x08};
inline constexpr Guid kMetadataRegion{0x06, 0xa2, 0x7c, 0x8b, 0x90, 0x47, 0x9a, 0x4b,
                                      0xb8, 0xfe, 0x57, 0x5f, 0x05, 0x0f, 0x88, 0x6e};
inline constexpr Guid kFileParameters{0x37, 0x67, 0xa1, 0xca, 0x36, 0xfa, 0x43, 0x4d,
                                      0xb3, 0xb6, 0x33, 0xf0, 0xaa, 0x44, 0xe7, 0x6b};
inline constexpr Guid kVirtualDiskSize{0x24, 0x42, 0xa5, 0x2f, 0x1b, 0xcd, 0x76, 0x48,
                                       0xb2, 0x11, 0x5d, 0xbe, 0xd8, 0x3b, 0xf4, 0xb8};
inline constexpr Guid kVirtualDiskId{0xab, 0x12, 0xca, 0xbe, 0xe6, 0xb2, 0x23, 0x45,
                                     0x93, 0xef, 0xc3, 0x09, 0xe0, 0x00, 0xc7, 0x46};
inline constexpr Guid kLogicalSector{0x1d, 0xbf, 0x41, 0x81, 0x6f, 0xa9, 0x09, 0x47,
                                     0xba, 0x47, 0xf2, 0x33, 0xa8, 0xfa, 0xab, 0x5f};
inline constexpr Guid kPhysicalSector{0xc7, 0x48, 0xa3, 0xcd, 0x5d, 0x44, 0x71, 0x44,
                                      0x9c, 0xc9, 0xe9, 0x88, 0x52, 0x51, 0xc5, 0x56};

// States of a block, bits 0-2 of its table entry; bits 20-63 are the place in MiB.
inline constexpr u64 kNotPresent = 0;
inline constexpr u64 kUndefined = 1;
inline constexpr u64 kZero = 2;
inline constexpr u64 kUnmapped = 3;
inline constexpr u64 kFullyPresent = 6;
inline constexpr u64 kPlaceMask = ~u64{0xfffff};

inline constexpr u64 kMaxDiskBytes = 64 * kTiB;

// CRC-32C (Castagnoli) as the format wants it: over `bytes` with the four at 4 taken as zero.
[[nodiscard]] u32 checksum(std::span<const u8> bytes);

// What is current in the two headers.
struct Header {
  u64 at = 0;  // its place
  u64 sequence = 0;
  Guid log_guid{};
  u64 log_offset = 0;
  u64 log_bytes = 0;
  std::vector<u8> bytes;
};

struct Layout {
  Header header;
  u64 bat_offset = 0;
  u64 bat_bytes = 0;
  u64 metadata_offset = 0;
  u64 metadata_bytes = 0;
  u64 block_bytes = 0;
  u64 disk_bytes = 0;
  u64 sector_bytes = 512;
  bool has_parent = false;
  bool is_fixed = false;
};

[[nodiscard]] Result<Header> read_current_header(ByteFile& file);
// Header, regions and metadata. The log must have been replayed.
[[nodiscard]] Result<Layout> read_layout(ByteFile& file);
// Brings the changes in the log to the file; nothing if it is empty. Errors: a damaged log; one
// that needs writing to a file that is read-only.
[[nodiscard]] Result<void> replay_log(ByteFile& file, const Header& header);
// Writes the other header, with the next sequence number and the given log identity, as current.
[[nodiscard]] Result<void> write_next_header(ByteFile& file, Header& header, const Guid& log_guid);

}  // namespace emu::vhdx
