// SPDX-License-Identifier: Apache-2.0
// The 512 bytes that IDENTIFY DEVICE returns.
#include "devices/storage/ata_identify.h"

#include <algorithm>

#include "base/bits.h"

namespace emu {
namespace {

void put(std::span<u8> out, unsigned word, u64 value) {
  store_le<u16>(&out[word * 2], static_cast<u16>(value));
}
void put32(std::span<u8> out, unsigned word, u64 value) {
  store_le<u32>(&out[word * 2], static_cast<u32>(value));
}

void put_geometry(std::span<u8> out, const DiskIdentifyState& s) {
  put(out, 1, s.default_geometry.cylinders);
  put(out, 3, s.default_geometry.heads);
  put(out, 6, s.default_geometry.sectors_per_track);
  const Geometry& g = s.current_geometry;
  put(out, 53, 7);  // words 54-58, 64-70 and 88 are valid
  put(out, 54, g.cylinders);
  put(out, 55, g.heads);
  put(out, 56, g.sectors_per_track);
  put32(out, 57, u64{g.cylinders} * g.heads * g.sectors_per_track);
  put32(out, 60, std::min<u64>(s.sectors, 0x0fff'ffff));
  store_le<u64>(&out[200], s.sectors);
}

void put_features(std::span<u8> out, const DiskIdentifyState& s) {
  constexpr u16 kSmart = 1 << 0;
  constexpr u16 kWriteCache = 1 << 5;
  constexpr u16 kNop = 1 << 14;
  constexpr u16 kLba48AndFlush = 1 << 10 | 1 << 12 | 1 << 13;
  constexpr u16 kFua = 1 << 6;
  constexpr u16 kValid = 1 << 14;
  put(out, 80, 0xf0);  // ATA-4 to ATA-7
  put(out, 82, kNop | kWriteCache | kSmart);
  put(out, 83, kValid | kLba48AndFlush);
  put(out, 84, kValid | kFua);
  put(out, 85, kNop | (s.write_cache ? kWriteCache : 0u) | (s.smart ? kSmart : 0u));
  put(out, 86, kLba48AndFlush);
  put(out, 87, kValid | kFua);
}

}  // namespace

void put_ata_string(std::span<u8> out, const std::string& text) {
  for (std::size_t i = 0; i < out.size(); ++i)
    out[i ^ 1] = i < text.size() ? static_cast<u8>(text[i]) : u8{' '};
}

void put_transfer_modes(std::span<u8> out, u8 transfer_mode) {
  const unsigned selected = 1u << (transfer_mode & 7);
  const unsigned kind = transfer_mode >> 3;  // 2: single-word, 4: multi-word, 8: ultra
  put(out, 62, 0x07 | (kind == 2 ? selected << 8 : 0));
  put(out, 63, 0x07 | (kind == 4 ? selected << 8 : 0));
  put(out, 88, 0x3f | (kind == 8 ? selected << 8 : 0));
}

void fill_identify(std::span<u8> out, const DriveIdentity& identity, const DiskIdentifyState& s) {
  std::fill(out.begin(), out.end(), u8{0});
  put(out, 0, 0x0040);  // a fixed disk
  put_geometry(out, s);
  put_ata_string(out.subspan(20, 20), identity.serial);
  put(out, 20, 3);
  put(out, 21, 512);
  put(out, 22, 4);
  put_ata_string(out.subspan(46, 8), identity.firmware);
  put_ata_string(out.subspan(54, 40), identity.model);
  put(out, 47, 0x8000 | kMaxMultipleSectors);
  put(out, 48, 1);                          // 32-bit data port
  put(out, 49, 1 << 11 | 1 << 9 | 1 << 8);  // IORDY, LBA, DMA
  put(out, 50, 1 << 14);
  put(out, 51, 0x200);
  put(out, 52, 0x200);
  put(out, 59, s.multiple_sectors != 0 ? 0x100u | s.multiple_sectors : 0u);
  put(out, 64, 3);  // PIO modes 3 and 4
  for (unsigned word = 65; word <= 68; ++word) put(out, word, 120);
  put(out, 69, 1 << 14 | 1 << 5);  // a trimmed sector reads the same each time
  put_features(out, s);
  put_transfer_modes(out, s.transfer_mode);
  put(out, 93, 1 << 14 | 1 << 13 | 1);  // 80-wire cable
  put(out, 105, 1);                     // one block of trim ranges
  put(out, 169, 1);                     // DATA SET MANAGEMENT trims
  put(out, 217, 1);                     // does not rotate
  put(out, 255, 0xa5);
  u8 sum = 0;
  for (const u8 b : out.first(511)) sum = static_cast<u8>(sum + b);
  out[511] = static_cast<u8>(-sum);
}

}  // namespace emu
