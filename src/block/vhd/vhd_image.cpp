// SPDX-License-Identifier: Apache-2.0
// VHD.
#include "block/vhd/vhd_image.h"

#include <algorithm>
#include <cstring>
#include <ctime>
#include <random>

#include "base/bits.h"

namespace emu::vhd {
namespace {

constexpr std::string_view kFooterCookie = "conectix";
constexpr std::string_view kHeaderCookie = "cxsparse";
constexpr u64 kHeaderBytes = 1024;
constexpr u64 kOffDataOffset = 16;
constexpr u64 kOffTimestamp = 24;
constexpr u64 kOffCreator = 28;
constexpr u64 kOffOriginalSize = 40;
constexpr u64 kOffCurrentSize = 48;
constexpr u64 kOffGeometry = 56;
constexpr u64 kOffType = 60;
constexpr u64 kOffChecksum = 64;
constexpr u64 kOffUuid = 68;
constexpr u64 kOffTable = 16;  // of the dynamic header
constexpr u64 kOffBlocks = 28;
constexpr u64 kOffBlockBytes = 32;
constexpr u64 kOffHeaderChecksum = 36;
constexpr u64 kOffParentName = 64;
constexpr u64 kParentNameBytes = 512;
constexpr u32 kFixed = 2;
constexpr u32 kDynamic = 3;
constexpr u32 kDifferencing = 4;
constexpr u32 kNotAllocated = 0xffffffff;
constexpr u64 kMaxDisk = 2040 * kGiB;
constexpr u64 kSecondsTo2000 = 946684800;

bool has_cookie(std::span<const u8> bytes, std::string_view cookie) {
  return bytes.size() >= cookie.size() &&
         std::memcmp(bytes.data(), cookie.data(), cookie.size()) == 0;
}

// The ones' complement of the sum of all bytes but the checksum's own.
u32 checksum(std::span<const u8> bytes, u64 at) {
  u32 sum = 0;
  for (u64 i = 0; i < bytes.size(); ++i) {
    if (i < at || i >= at + 4) sum += bytes[i];
  }
  return ~sum;
}

bool is_footer(std::span<const u8> bytes) {
  return has_cookie(bytes, kFooterCookie) &&
         load_be<u32>(&bytes[kOffChecksum]) == checksum(bytes, kOffChecksum);
}

// UTF-16, of which the letters up to 7Fh are taken.
std::string parent_name(std::span<const u8> utf16) {
  std::string name;
  for (u64 i = 0; i + 1 < utf16.size(); i += 2) {
    const u16 c = load_be<u16>(&utf16[i]);
    if (c == 0) break;
    name.push_back(c == '\\' ? '/' : c < 0x80 ? static_cast<char>(c) : '?');
  }
  return name;
}

Error damaged_file(const ByteFile& file, const std::string& what) {
  return fail("{} is damaged: {}; copy it again from where it came from", file.path(), what);
}

// CHS as the specification's appendix computes it.
u32 geometry(u64 sectors) {
  u64 heads = 16;
  u64 per_track = 255;
  u64 rows = 0;  // cylinders times heads
  sectors = std::min<u64>(sectors, u64{65535} * 16 * 255);
  if (sectors >= u64{65535} * 16 * 63) {
    rows = sectors / per_track;
  } else {
    per_track = 17;
    rows = sectors / per_track;
    heads = std::max<u64>((rows + 1023) / 1024, 4);
    if (rows >= heads * 1024 || heads > 16) {
      per_track = 31;
      heads = 16;
      rows = sectors / per_track;
    }
    if (rows >= heads * 1024) {
      per_track = 63;
      heads = 16;
      rows = sectors / per_track;
    }
  }
  return static_cast<u32>((rows / heads) << 16 | heads << 8 | per_track);
}

std::vector<u8> make_footer(const CreateOptions& o) {
  std::vector<u8> f(kFooterBytes);
  const auto put32 = [&](u64 at, u64 value) { store_be<u32>(&f[at], static_cast<u32>(value)); };
  std::memcpy(f.data(), kFooterCookie.data(), kFooterCookie.size());
  put32(8, 2);            // reserved bit, always set
  put32(12, 0x00010000);  // version
  store_be<u64>(&f[kOffDataOffset], o.is_fixed ? ~u64{0} : kFooterBytes);
  put32(kOffTimestamp, static_cast<u64>(std::time(nullptr)) - kSecondsTo2000);
  // Readers take the size from the geometry unless they know the creator for one that means the
  // exact size; this one they know.
  std::memcpy(&f[kOffCreator], "win ", 4);
  put32(kOffCreator + 4, 0x000a0000);
  std::memcpy(&f[kOffCreator + 8], "Wi2k", 4);
  store_be<u64>(&f[kOffOriginalSize], o.size_bytes);
  store_be<u64>(&f[kOffCurrentSize], o.size_bytes);
  put32(kOffGeometry, geometry(o.size_bytes / 512));
  put32(kOffType, o.is_fixed ? kFixed : kDynamic);
  std::random_device random;
  for (u64 i = 0; i < 16; i += 4) put32(kOffUuid + i, random());
  put32(kOffChecksum, checksum(f, kOffChecksum));
  return f;
}

}  // namespace

Result<Header> read_header(ByteFile& file) {
  Header h;
  h.footer.resize(kFooterBytes);
  const u64 size = file.size_bytes();
  if (size < kFooterBytes) return fail("{} is too short for a VHD image", file.path());
  // A dynamic image has a copy of the footer at its start.
  EMU_TRY(file.read_flat(size - kFooterBytes, h.footer));
  if (!is_footer(h.footer)) EMU_TRY(file.read_flat(0, h.footer));
  if (!is_footer(h.footer)) return damaged_file(file, "neither of its footers is whole");
  h.disk_type = load_be<u32>(&h.footer[kOffType]);
  h.disk_bytes = align_down(load_be<u64>(&h.footer[kOffCurrentSize]), 512);
  if (h.disk_bytes > kMaxDisk) return damaged_file(file, "a disk larger than 2040 GiB");
  if (h.disk_type == kFixed) {
    if (h.disk_bytes > size) return damaged_file(file, "it is cut short");
    return h;
  }
  if (h.disk_type != kDynamic && h.disk_type != kDifferencing)
    return fail("{} is a VHD of type {}, which is not supported", file.path(), h.disk_type);
  const u64 at = load_be<u64>(&h.footer[kOffDataOffset]);
  std::vector<u8> d(kHeaderBytes);
  if (!range_fits(at, kHeaderBytes, size)) return damaged_file(file, "its header lies outside");
  EMU_TRY(file.read_flat(at, d));
  if (!has_cookie(d, kHeaderCookie) ||
      load_be<u32>(&d[kOffHeaderChecksum]) != checksum(d, kOffHeaderChecksum))
    return damaged_file(file, "its header's checksum is wrong");
  h.table_offset = load_be<u64>(&d[kOffTable]);
  h.blocks = load_be<u32>(&d[kOffBlocks]);
  h.block_bytes = load_be<u32>(&d[kOffBlockBytes]);
  if (h.disk_type == kDifferencing)
    h.parent_name = parent_name(std::span(d).subspan(kOffParentName, kParentNameBytes));
  if (h.block_bytes < 512 || h.block_bytes > 256 * kMiB ||
      (h.block_bytes & (h.block_bytes - 1)) != 0)
    return damaged_file(file, fmt::format("blocks of {} bytes", h.block_bytes));
  if (u64{h.blocks} * h.block_bytes < h.disk_bytes ||
      !range_fits(h.table_offset, u64{h.blocks} * 4, size))
    return damaged_file(file, "its block table is too small or lies outside the file");
  return h;
}

std::string FixedVhdImage::describe() const {
  return fmt::format("{} (fixed vhd, {}{})", base_name(file_->path()), size_text(size_bytes_),
                     read_only() ? ", read-only" : "");
}

Result<MapExtent> FixedVhdImage::map(u64 offset, u64 max_bytes) {
  return MapExtent{Stored::kData, false, std::min(max_bytes, size_bytes_ - offset), offset};
}

ImageInfo FixedVhdImage::info() const {
  ImageInfo info;
  info.file = file_->path();
  info.format = "vpc";
  info.virtual_bytes = size_bytes_;
  info.actual_bytes = file_->allocated_bytes();
  return info;
}

DynamicVhdImage::DynamicVhdImage(std::unique_ptr<ByteFile> file, Header header,
                                 std::unique_ptr<DiskImage> backing)
    : BlockTableImage(std::move(file), std::move(backing), "vpc"), header_(std::move(header)) {
  size_bytes_ = header_.disk_bytes;
  block_bytes_ = header_.block_bytes;
  bitmap_bytes_ = align_up(block_bytes_ / 512 / 8 + (block_bytes_ < 4096 ? 1 : 0), 512);
}

Result<std::unique_ptr<DiskImage>> DynamicVhdImage::open(std::unique_ptr<ByteFile> file,
                                                         Header header,
                                                         std::unique_ptr<DiskImage> backing) {
  std::unique_ptr<DynamicVhdImage> image(
      new DynamicVhdImage(std::move(file), std::move(header), std::move(backing)));
  EMU_TRY(image->load());
  return std::unique_ptr<DiskImage>(std::move(image));
}

Result<void> DynamicVhdImage::load() {
  table_.resize(header_.blocks);
  std::vector<u8> bytes(table_.size() * 4);
  EMU_TRY(file_->read_flat(header_.table_offset, bytes));
  end_ = align_up(header_.table_offset + bytes.size(), 512);
  end_ = std::max(end_, load_be<u64>(&header_.footer[kOffDataOffset]) + kHeaderBytes);
  const u64 tables_end = end_;
  std::vector<u64> starts;
  for (u64 i = 0; i < table_.size(); ++i) {
    table_[i] = load_be<u32>(&bytes[i * 4]);
    if (table_[i] == kNotAllocated) continue;
    const u64 at = u64{table_[i]} * 512;
    if (at < kFooterBytes || at >= file_->size_bytes())
      return damaged(fmt::format("block {} lies outside the file", i));
    starts.push_back(at);
    end_ = std::max(end_, at + bitmap_bytes_ + block_bytes_);
  }
  std::sort(starts.begin(), starts.end());
  for (u64 i = 1; i < starts.size(); ++i) {
    if (starts[i] - starts[i - 1] < bitmap_bytes_ + block_bytes_)
      return damaged("two blocks share a place");
  }
  const bool touches_tables = !starts.empty() && starts[0] < tables_end &&
                              starts[0] + bitmap_bytes_ + block_bytes_ > header_.table_offset;
  if (touches_tables) return damaged("a block lies on its tables");
  return {};
}

Result<BlockTableImage::Place> DynamicVhdImage::find(u64 offset) {
  const u64 inside = offset % block_bytes_;
  Place place;
  place.length_bytes = block_bytes_ - inside;
  const u32 entry = table_[offset / block_bytes_];
  if (entry == kNotAllocated) return place;
  if (backing_ != nullptr) return find_in_bitmap(u64{entry} * 512, inside);
  // Without a parent, sectors that are not marked were never written and are zero as they are.
  place.stored = Stored::kData;
  place.file_offset = u64{entry} * 512 + bitmap_bytes_ + inside;
  return place;
}

// The stretch of sectors from `inside` that are all stored here, or all are not.
Result<BlockTableImage::Place> DynamicVhdImage::find_in_bitmap(u64 block_offset, u64 inside) {
  std::vector<u8> bitmap(bitmap_bytes_);
  EMU_TRY(file_->read_flat(block_offset, bitmap));
  const auto is_stored = [&](u64 sector) {
    return bit(bitmap[sector / 8], 7 - static_cast<unsigned>(sector % 8));
  };
  const u64 first = inside / 512;
  u64 sector = first + 1;
  while (sector < block_bytes_ / 512 && is_stored(sector) == is_stored(first)) ++sector;
  Place place;
  place.stored = is_stored(first) ? Stored::kData : Stored::kBelow;
  place.file_offset = block_offset + bitmap_bytes_ + inside;
  place.length_bytes = sector * 512 - inside;
  return place;
}

// A block that stores some sectors is completed where it is; others go where the footer was, which
// follows them. (A copy of the footer stays at the file's start.)
Result<u64> DynamicVhdImage::allocate(u64 block) {
  if (table_[block] != kNotAllocated) return u64{table_[block]} * 512 + bitmap_bytes_;
  const u64 at = end_;
  if (at / 512 >= kNotAllocated)
    return fail("{} cannot grow further; convert it to qcow2", file_->path());
  const u64 after = at + bitmap_bytes_ + block_bytes_;
  EMU_TRY(file_->write_flat(after, header_.footer));
  EMU_TRY(file_->write_zeroes(at, after - at));
  end_ = after;
  return at + bitmap_bytes_;
}

// The bitmap says that all sectors are stored; it is written at once, since nothing leads to it.
Result<void> DynamicVhdImage::set_place(u64 block, u64 file_offset) {
  EMU_TRY(file_->write_flat(file_offset - bitmap_bytes_, std::vector<u8>(bitmap_bytes_, u8{0xff})));
  table_[block] = static_cast<u32>((file_offset - bitmap_bytes_) / 512);
  dirty_.push_back(block);
  return {};
}

Result<void> DynamicVhdImage::write_table() {
  for (const u64 block : dirty_) {
    u8 entry[4];
    store_be<u32>(entry, table_[block]);
    EMU_TRY(file_->write_flat(header_.table_offset + block * 4, entry));
  }
  dirty_.clear();
  return {};
}

ImageInfo DynamicVhdImage::info() const {
  ImageInfo info = basic_info();
  info.backing_file = header_.parent_name;
  return info;
}

Result<void> create(ByteFile& file, const CreateOptions& o) {
  if (o.size_bytes > kMaxDisk) return fail("a VHD image cannot be larger than 2040 GiB; use vhdx");
  const std::vector<u8> footer = make_footer(o);
  if (o.is_fixed) {
    EMU_TRY(file.grow(o.size_bytes));
    return file.write_flat(o.size_bytes, footer);
  }
  constexpr u64 kBlock = 2 * kMiB;
  constexpr u64 kTable = kFooterBytes + kHeaderBytes;
  const u64 blocks = o.size_bytes / kBlock + (o.size_bytes % kBlock != 0 ? 1 : 0);
  std::vector<u8> d(kHeaderBytes);
  std::memcpy(d.data(), kHeaderCookie.data(), kHeaderCookie.size());
  store_be<u64>(&d[8], ~u64{0});
  store_be<u64>(&d[kOffTable], kTable);
  store_be<u32>(&d[24], 0x00010000);  // version
  store_be<u32>(&d[kOffBlocks], static_cast<u32>(blocks));
  store_be<u32>(&d[kOffBlockBytes], static_cast<u32>(kBlock));
  store_be<u32>(&d[kOffHeaderChecksum], checksum(d, kOffHeaderChecksum));
  const std::vector<u8> table(align_up(blocks * 4, 512), u8{0xff});
  EMU_TRY(file.write_flat(0, footer));
  EMU_TRY(file.write_flat(kFooterBytes, d));
  EMU_TRY(file.write_flat(kTable, table));
  return file.write_flat(kTable + table.size(), footer);
}

}  // namespace emu::vhd
