// SPDX-License-Identifier: Apache-2.0
// VHDX headers, regions and metadata.
// Source: [MS-VHDX] 2.2 (headers), 2.4 (regions), 2.6 (metadata).
#include <algorithm>
#include <cstring>
#include <random>

#include "base/bits.h"
#include "block/vhdx/vhdx_spec.h"

namespace emu::vhdx {
namespace {

constexpr u64 kOffSequence = 8;
constexpr u64 kOffFileWriteGuid = 16;
constexpr u64 kOffLogGuid = 48;
constexpr u64 kOffLogVersion = 64;
constexpr u64 kOffVersion = 66;
constexpr u64 kOffLogBytes = 68;
constexpr u64 kOffLogOffset = 72;
constexpr u64 kMaxLogBytes = 256 * kMiB;

Error damaged(const ByteFile& file, const std::string& what) {
  return fail("{} is damaged: {}; copy it again from where it came from", file.path(), what);
}

bool has_signature(std::span<const u8> bytes, std::string_view signature) {
  return std::memcmp(bytes.data(), signature.data(), signature.size()) == 0;
}

Guid guid_at(const u8* p) {
  Guid guid;
  std::copy_n(p, guid.size(), guid.begin());
  return guid;
}

Result<void> read_regions(ByteFile& file, Layout& layout) {
  std::vector<u8> t(kTableBytes);
  bool good = false;
  for (const u64 at : kRegionTableAt) {
    EMU_TRY(file.read_flat(at, t));
    good = has_signature(t, "regi") && load_le<u32>(&t[4]) == checksum(t);
    if (good) break;
  }
  if (!good) return damaged(file, "neither of its region tables is whole");
  const u32 count = load_le<u32>(&t[8]);
  if (count > 2047) return damaged(file, "its region table is too long");
  for (u32 i = 0; i < count; ++i) {
    const u8* entry = &t[16 + u64{i} * 32];
    const Guid guid = guid_at(entry);
    const u64 offset = load_le<u64>(entry + 16);
    const u64 bytes = load_le<u32>(entry + 24);
    const bool required = (load_le<u32>(entry + 28) & 1) != 0;
    if (guid != kBatRegion && guid != kMetadataRegion) {
      if (required) return fail("{} has a region that is not known here", file.path());
      continue;
    }
    if (offset < kMiB || offset % kMiB != 0 || !range_fits(offset, bytes, file.size_bytes()))
      return damaged(file, "a region lies outside the file");
    (guid == kBatRegion ? layout.bat_offset : layout.metadata_offset) = offset;
    (guid == kBatRegion ? layout.bat_bytes : layout.metadata_bytes) = bytes;
  }
  if (layout.bat_bytes == 0 || layout.metadata_bytes < kTableBytes)
    return damaged(file, "a region is missing");
  return {};
}

Result<void> take_item(ByteFile& file, Layout& layout, const Guid& guid, std::span<const u8> item,
                       bool required) {
  if (guid == kFileParameters && item.size() >= 8) {
    layout.block_bytes = load_le<u32>(item.data());
    layout.is_fixed = (load_le<u32>(item.data() + 4) & 1) != 0;
    layout.has_parent = (load_le<u32>(item.data() + 4) & 2) != 0;
  } else if (guid == kVirtualDiskSize && item.size() >= 8) {
    layout.disk_bytes = load_le<u64>(item.data());
  } else if (guid == kLogicalSector && item.size() >= 4) {
    layout.sector_bytes = load_le<u32>(item.data());
  } else if (guid != kVirtualDiskId && guid != kPhysicalSector && required && !layout.has_parent) {
    return fail("{} has required metadata that is not known here", file.path());
  }
  return {};
}

Result<void> read_metadata(ByteFile& file, Layout& layout) {
  std::vector<u8> t(kTableBytes);
  EMU_TRY(file.read_flat(layout.metadata_offset, t));
  const u32 count = load_le<u16>(&t[10]);
  if (!has_signature(t, "metadata") || count > 2047)
    return damaged(file, "its metadata table is not one");
  for (u32 i = 0; i < count; ++i) {
    const u8* entry = &t[32 + u64{i} * 32];
    const u64 offset = load_le<u32>(entry + 16);
    const u64 bytes = load_le<u32>(entry + 20);
    const bool required = (load_le<u32>(entry + 24) & 4) != 0;
    if (bytes > kMiB || !range_fits(offset, bytes, layout.metadata_bytes))
      return damaged(file, "a metadata item lies outside its region");
    std::vector<u8> item(bytes);
    EMU_TRY(file.read_flat(layout.metadata_offset + offset, item));
    EMU_TRY(take_item(file, layout, guid_at(entry), item, required));
  }
  return {};
}

}  // namespace

u32 checksum(std::span<const u8> bytes) {
  static const auto table = [] {
    std::array<u32, 256> made{};
    for (u32 i = 0; i < made.size(); ++i) {
      u32 value = i;
      for (int n = 0; n < 8; ++n) value = (value >> 1) ^ ((value & 1) != 0 ? 0x82f63b78u : 0);
      made[i] = value;
    }
    return made;
  }();
  u32 crc = ~u32{0};
  for (u64 i = 0; i < bytes.size(); ++i) {
    const u8 b = i >= 4 && i < 8 ? u8{0} : bytes[i];
    crc = table[(crc ^ b) & 0xff] ^ (crc >> 8);
  }
  return ~crc;
}

Result<Header> read_current_header(ByteFile& file) {
  Header current;
  for (const u64 at : kHeaderAt) {
    std::vector<u8> b(kHeaderBytes);
    EMU_TRY(file.read_flat(at, b));
    if (!has_signature(b, "head") || load_le<u32>(&b[4]) != checksum(b)) continue;
    const u64 sequence = load_le<u64>(&b[kOffSequence]);
    if (current.at != 0 && sequence <= current.sequence) continue;
    current = {at,
               sequence,
               guid_at(&b[kOffLogGuid]),
               load_le<u64>(&b[kOffLogOffset]),
               load_le<u32>(&b[kOffLogBytes]),
               std::move(b)};
  }
  if (current.at == 0) return damaged(file, "neither of its headers is whole");
  if (load_le<u16>(&current.bytes[kOffVersion]) != 1 ||
      load_le<u16>(&current.bytes[kOffLogVersion]) != 0)
    return fail("{} is a VHDX of a version that is not supported", file.path());
  if (current.log_bytes > kMaxLogBytes || current.log_bytes % kMiB != 0 ||
      !range_fits(current.log_offset, current.log_bytes, file.size_bytes()))
    return damaged(file, "its log lies outside the file");
  return current;
}

Result<Layout> read_layout(ByteFile& file) {
  Layout layout;
  auto header = read_current_header(file);
  if (!header) return header.error();
  layout.header = std::move(*header);
  EMU_TRY(read_regions(file, layout));
  EMU_TRY(read_metadata(file, layout));
  if (layout.has_parent)
    return fail(
        "{} is a differencing VHDX, which is not supported; merge it with its parent in "
        "Hyper-V, or convert it with: qemu-img convert",
        file.path());
  const u64 block = layout.block_bytes;
  if (block < kMiB || block > 256 * kMiB || (block & (block - 1)) != 0)
    return damaged(file, fmt::format("blocks of {} bytes", block));
  if (layout.sector_bytes != 512 && layout.sector_bytes != 4096)
    return damaged(file, fmt::format("sectors of {} bytes", layout.sector_bytes));
  if (layout.disk_bytes > kMaxDiskBytes || layout.disk_bytes % layout.sector_bytes != 0)
    return damaged(file, fmt::format("a disk of {} bytes", layout.disk_bytes));
  return layout;
}

Result<void> write_next_header(ByteFile& file, Header& header, const Guid& log_guid) {
  std::random_device random;
  ++header.sequence;
  header.log_guid = log_guid;
  store_le<u64>(&header.bytes[kOffSequence], header.sequence);
  for (u64 i = 0; i < 16; i += 4) store_le<u32>(&header.bytes[kOffFileWriteGuid + i], random());
  std::copy(log_guid.begin(), log_guid.end(), header.bytes.begin() + kOffLogGuid);
  store_le<u32>(&header.bytes[4], checksum(header.bytes));
  header.at = header.at == kHeaderAt[0] ? kHeaderAt[1] : kHeaderAt[0];
  EMU_TRY(file.write_flat(header.at, header.bytes));
  return file.flush();
}

}  // namespace emu::vhdx
