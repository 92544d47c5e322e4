// SPDX-License-Identifier: Apache-2.0
// VHDX.
#include "block/vhdx/vhdx_image.h"

#include <algorithm>
#include <cstring>
#include <random>

#include "base/bits.h"

namespace emu::vhdx {
namespace {

u64 divide_up(u64 value, u64 by) {
  return value / by + (value % by != 0 ? 1 : 0);
}

u64 chunk_ratio(u64 sector_bytes, u64 block_bytes) {
  return (u64{1} << 23) * sector_bytes / block_bytes;
}

Guid random_guid() {
  Guid guid;
  std::random_device random;
  for (u64 i = 0; i < guid.size(); i += 4) store_le<u32>(&guid[i], random());
  guid[7] = static_cast<u8>((guid[7] & 0x0f) | 0x40);
  guid[8] = static_cast<u8>((guid[8] & 0x3f) | 0x80);
  return guid;
}

}  // namespace

VhdxImage::VhdxImage(std::unique_ptr<ByteFile> file, const Layout& layout)
    : BlockTableImage(std::move(file), nullptr, "vhdx"),
      layout_(layout),
      chunk_ratio_(chunk_ratio(layout.sector_bytes, layout.block_bytes)) {
  size_bytes_ = layout.disk_bytes;
  block_bytes_ = layout.block_bytes;
}

Result<std::unique_ptr<DiskImage>> VhdxImage::open(std::unique_ptr<ByteFile> file) {
  auto header = read_current_header(*file);
  if (!header) return header.error();
  if (header->log_guid != Guid{}) {
    EMU_TRY(replay_log(*file, *header));
    EMU_TRY(write_next_header(*file, *header, Guid{}));
  }
  auto layout = read_layout(*file);
  if (!layout) return layout.error();
  std::unique_ptr<VhdxImage> image(new VhdxImage(std::move(file), *layout));
  EMU_TRY(image->load());
  return std::unique_ptr<DiskImage>(std::move(image));
}

Result<void> VhdxImage::load() {
  const u64 blocks = divide_up(size_bytes_, block_bytes_);
  const u64 entries = blocks == 0 ? 0 : entry_index(blocks - 1) + 1;
  if (entries * 8 > layout_.bat_bytes) return damaged("its block table is too small");
  std::vector<u8> bytes(entries * 8);
  EMU_TRY(file_->read_flat(layout_.bat_offset, bytes));
  table_.resize(blocks);
  end_ = align_up(file_->size_bytes(), kMiB);
  std::vector<u64> places;
  for (u64 i = 0; i < blocks; ++i) {
    table_[i] = load_le<u64>(&bytes[entry_index(i) * 8]);
    const u64 place = table_[i] & kPlaceMask;
    if ((table_[i] & 7) != kFullyPresent) continue;
    if (place < kMiB || place >= file_->size_bytes())
      return damaged(fmt::format("block {} lies outside the file", i));
    places.push_back(place);
    end_ = std::max(end_, place + block_bytes_);
  }
  for (const auto& [start, size] :
       {std::pair{layout_.bat_offset, layout_.bat_bytes},
        std::pair{layout_.metadata_offset, layout_.metadata_bytes},
        std::pair{layout_.header.log_offset, layout_.header.log_bytes}}) {
    for (const u64 place : places) {
      if (place < start + size && start < place + block_bytes_)
        return damaged("a block lies on its tables");
    }
  }
  std::sort(places.begin(), places.end());
  for (u64 i = 1; i < places.size(); ++i) {
    if (places[i] - places[i - 1] < block_bytes_) return damaged("two blocks share a place");
  }
  return {};
}

Result<BlockTableImage::Place> VhdxImage::find(u64 offset) {
  const u64 inside = offset % block_bytes_;
  const u64 entry = table_[offset / block_bytes_];
  Place place;
  place.length_bytes = block_bytes_ - inside;
  if ((entry & 7) == kFullyPresent) {
    place.stored = Stored::kData;
    place.file_offset = (entry & kPlaceMask) + inside;
  } else if ((entry & 7) == kZero || (entry & 7) == kUnmapped) {
    place.stored = Stored::kZero;
  } else if ((entry & 7) != kNotPresent && (entry & 7) != kUndefined) {
    return damaged(fmt::format("block {} has state {}", offset / block_bytes_, entry & 7));
  }
  return place;
}

Result<u64> VhdxImage::allocate(u64) {
  EMU_TRY(note_change());
  const u64 at = end_;
  EMU_TRY(file_->grow(at + block_bytes_));  // no block may reach over the file's end
  EMU_TRY(file_->write_zeroes(at, block_bytes_));
  end_ = at + block_bytes_;
  return at;
}

// Others see by the header's identity that the file is not what it was.
Result<void> VhdxImage::note_change() {
  if (change_is_noted_) return {};
  EMU_TRY(write_next_header(*file_, layout_.header, Guid{}));
  change_is_noted_ = true;
  return {};
}

Result<void> VhdxImage::set_place(u64 block, u64 file_offset) {
  table_[block] = file_offset | kFullyPresent;
  dirty_.push_back(block);
  return {};
}

Result<void> VhdxImage::write_table() {
  for (const u64 block : dirty_) {
    u8 entry[8];
    store_le<u64>(entry, table_[block]);
    EMU_TRY(file_->write_flat(layout_.bat_offset + entry_index(block) * 8, entry));
  }
  dirty_.clear();
  return {};
}

ImageInfo VhdxImage::info() const {
  return basic_info();
}

namespace {

void put_guid(std::vector<u8>& b, u64 at, const Guid& guid) {
  std::copy(guid.begin(), guid.end(), b.begin() + static_cast<std::ptrdiff_t>(at));
}

constexpr u64 kLogAt = kMiB;
constexpr u64 kMetadataAt = 2 * kMiB;
constexpr u64 kBatAt = 3 * kMiB;

std::vector<u8> make_regions(u64 bat_bytes) {
  std::vector<u8> t(kTableBytes);
  std::memcpy(t.data(), "regi", 4);
  store_le<u32>(&t[8], 2u);
  const auto entry = [&](u64 at, const Guid& guid, u64 offset, u64 bytes) {
    put_guid(t, at, guid);
    store_le<u64>(&t[at + 16], offset);
    store_le<u32>(&t[at + 24], static_cast<u32>(bytes));
    store_le<u32>(&t[at + 28], 1u);
  };
  entry(16, kBatRegion, kBatAt, bat_bytes);
  entry(48, kMetadataRegion, kMetadataAt, kMiB);
  store_le<u32>(&t[4], checksum(t));
  return t;
}

std::vector<u8> make_metadata(const CreateOptions& o) {
  constexpr u64 kItemsAt = kUnit;
  std::vector<u8> t(kItemsAt + 64);
  std::memcpy(t.data(), "metadata", 8);
  u64 entry = 32;
  u64 item = kItemsAt;
  u16 count = 0;
  const auto add = [&](const Guid& guid, std::span<const u8> data, u32 flags) {
    put_guid(t, entry, guid);
    store_le<u32>(&t[entry + 16], static_cast<u32>(item));
    store_le<u32>(&t[entry + 20], static_cast<u32>(data.size()));
    store_le<u32>(&t[entry + 24], flags);
    std::copy(data.begin(), data.end(), t.begin() + static_cast<std::ptrdiff_t>(item));
    entry += 32;
    item += data.size();
    store_le<u16>(&t[10], ++count);
  };
  constexpr u32 kRequired = 4;
  constexpr u32 kIsVirtualDisk = 2;
  u8 parameters[8] = {};
  store_le<u32>(parameters, static_cast<u32>(o.block_bytes));
  store_le<u32>(parameters + 4, o.is_fixed ? 1u : 0u);
  u8 size[8];
  store_le<u64>(size, o.size_bytes);
  u8 logical[4];
  store_le<u32>(logical, 512u);
  u8 physical[4];
  store_le<u32>(physical, 512u);
  add(kFileParameters, parameters, kRequired);
  add(kVirtualDiskSize, size, kRequired | kIsVirtualDisk);
  add(kVirtualDiskId, random_guid(), kRequired | kIsVirtualDisk);
  add(kLogicalSector, logical, kRequired | kIsVirtualDisk);
  add(kPhysicalSector, physical, kRequired | kIsVirtualDisk);
  return t;
}

Result<void> write_headers(ByteFile& file) {
  std::vector<u8> id(kHeaderBytes);
  std::memcpy(id.data(), "vhdxfile", 8);
  constexpr std::string_view kCreator = "emu";
  for (u64 i = 0; i < kCreator.size(); ++i) id[8 + i * 2] = static_cast<u8>(kCreator[i]);
  EMU_TRY(file.write_flat(0, id));
  for (u64 i = 0; i < 2; ++i) {
    std::vector<u8> h(kHeaderBytes);
    std::memcpy(h.data(), "head", 4);
    store_le<u64>(&h[8], i + 1);
    put_guid(h, 16, random_guid());
    put_guid(h, 32, random_guid());
    store_le<u16>(&h[66], u16{1});
    store_le<u32>(&h[68], static_cast<u32>(kMiB));
    store_le<u64>(&h[72], kLogAt);
    store_le<u32>(&h[4], checksum(h));
    EMU_TRY(file.write_flat(kHeaderAt[i], h));
  }
  return {};
}

}  // namespace

Result<void> create(ByteFile& file, const CreateOptions& given) {
  CreateOptions o = given;
  if (o.block_bytes == 0)
    o.block_bytes = o.size_bytes > 32 * kTiB    ? 64 * kMiB
                    : o.size_bytes > 100 * kGiB ? 32 * kMiB
                    : o.size_bytes > kGiB       ? 16 * kMiB
                                                : 8 * kMiB;
  if (o.block_bytes < kMiB || o.block_bytes > 256 * kMiB ||
      (o.block_bytes & (o.block_bytes - 1)) != 0)
    return fail("block_size must be a power of two from 1M to 256M");
  if (o.size_bytes > kMaxDiskBytes) return fail("a VHDX image cannot be larger than 64 TiB");
  const u64 ratio = chunk_ratio(512, o.block_bytes);
  const u64 blocks = divide_up(o.size_bytes, o.block_bytes);
  const u64 entries = blocks + (blocks == 0 ? 0 : (blocks - 1) / ratio);
  const u64 bat_bytes = align_up(std::max<u64>(entries * 8, 1), kMiB);
  const u64 data_at = kBatAt + bat_bytes;
  EMU_TRY(write_headers(file));
  const std::vector<u8> regions = make_regions(bat_bytes);
  for (const u64 at : kRegionTableAt) EMU_TRY(file.write_flat(at, regions));
  EMU_TRY(file.write_flat(kMetadataAt, make_metadata(o)));
  if (!o.is_fixed) return file.grow(data_at);
  std::vector<u8> table(entries * 8);
  for (u64 i = 0; i < blocks; ++i)
    store_le<u64>(&table[(i + i / ratio) * 8], (data_at + i * o.block_bytes) | kFullyPresent);
  EMU_TRY(file.write_flat(kBatAt, table));
  return file.grow(data_at + blocks * o.block_bytes);
}

}  // namespace emu::vhdx
