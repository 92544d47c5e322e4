// SPDX-License-Identifier: Apache-2.0
// Hosted sparse extents.
#include "block/vmdk/vmdk_sparse.h"

#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <set>

#include "base/bits.h"
#include "base/log.h"

namespace emu::vmdk {
namespace {

constexpr u32 kMagic = 0x564d444b;  // "KDMV"
constexpr u64 kHeaderBytes = 512;
constexpr u32 kFlagNewlineTest = 1u << 0;
constexpr u32 kFlagRedundant = 1u << 1;
constexpr u32 kFlagZeroGrain = 1u << 2;
constexpr u32 kFlagPacked = 1u << 16;
constexpr u32 kFlagMarkers = 1u << 17;
constexpr u32 kZeroGrain = 1;
constexpr u64 kAtEnd = ~u64{0};  // the directory's place stands in the footer
constexpr u64 kGrainMarkerBytes = 12;
constexpr u64 kMaxDirectoryEntries = u64{1} << 22;

Error damaged_file(const ByteFile& file, const std::string& what) {
  return fail("{} is damaged: {}; copy it again from where it came from", file.path(), what);
}

// The copy of the header that a stream ends with: footer marker, footer, end-of-stream marker.
Result<std::vector<u8>> read_footer(ByteFile& file) {
  std::vector<u8> b(kHeaderBytes);
  if (file.size_bytes() < 4 * kHeaderBytes) return damaged_file(file, "it is cut short");
  EMU_TRY(file.read_flat(file.size_bytes() - 2 * kHeaderBytes, b));
  if (load_le<u32>(b.data()) != kMagic)
    return damaged_file(file, "the footer is missing; is it whole?");
  return b;
}

}  // namespace

Result<SparseHeader> read_sparse_header(ByteFile& file) {
  std::vector<u8> b(kHeaderBytes);
  EMU_TRY(file.read_flat(0, b));
  if (load_le<u32>(b.data()) != kMagic) return fail("{} is not a VMDK extent", file.path());
  if (load_le<u64>(&b[56]) == kAtEnd) {
    auto footer = read_footer(file);
    if (!footer) return footer.error();
    b = std::move(*footer);
  }
  SparseHeader h;
  h.version = load_le<u32>(&b[4]);
  h.flags = load_le<u32>(&b[8]);
  const u64 capacity = load_le<u64>(&b[12]);
  const u64 grain = load_le<u64>(&b[20]);
  const u64 descriptor = load_le<u64>(&b[28]);
  const u64 descriptor_sectors = load_le<u64>(&b[36]);
  h.entries_per_table = load_le<u32>(&b[44]);
  const u64 redundant = load_le<u64>(&b[48]);
  const u64 directory = load_le<u64>(&b[56]);
  if (h.version < 1 || h.version > 3)
    return fail("{} is a VMDK extent of version {}, and only 1 to 3 are supported", file.path(),
                h.version);
  if ((h.flags & kFlagPacked) != 0 && load_le<u16>(&b[77]) > 1)
    return fail("{} uses compression method {}, which is not supported", file.path(),
                load_le<u16>(&b[77]));
  if (capacity > (u64{1} << 52) || grain < 1 || grain > 4096 || (grain & (grain - 1)) != 0)
    return damaged_file(file, fmt::format("{} sectors in grains of {}", capacity, grain));
  if (h.entries_per_table == 0 || h.entries_per_table > 512)
    return damaged_file(file, fmt::format("tables of {} entries", h.entries_per_table));
  const u64 file_sectors = file.size_bytes() / 512;
  if (directory == 0 || directory > file_sectors || redundant > file_sectors ||
      descriptor > file_sectors || descriptor_sectors > 2048)
    return damaged_file(file, "its tables lie outside the file");
  h.size_bytes = capacity * 512;
  h.grain_bytes = grain * 512;
  h.descriptor_offset = descriptor * 512;
  h.descriptor_bytes = descriptor_sectors * 512;
  h.redundant_directory_offset = (h.flags & kFlagRedundant) != 0 ? redundant * 512 : 0;
  h.directory_offset = directory * 512;
  return h;
}

SparseExtent::SparseExtent(std::unique_ptr<ByteFile> file, const SparseHeader& header,
                           std::unique_ptr<DiskImage> below)
    : BlockTableImage(std::move(file), std::move(below), "vmdk"), header_(header) {
  size_bytes_ = header.size_bytes;
  block_bytes_ = header.grain_bytes;
}

SparseExtent::~SparseExtent() {
  close();
  if (read_only() || !is_packed()) return;
  if (auto done = file_->grow(align_up(file_->size_bytes(), 512)); !done)
    log(LogLevel::kError, "block", "{}", done.error().message);
}

bool SparseExtent::is_packed() const {
  return (header_.flags & kFlagPacked) != 0;
}

Result<std::unique_ptr<SparseExtent>> SparseExtent::open(std::unique_ptr<ByteFile> file,
                                                         const SparseHeader& header,
                                                         std::unique_ptr<DiskImage> below) {
  std::unique_ptr<SparseExtent> extent(new SparseExtent(std::move(file), header, std::move(below)));
  EMU_TRY(extent->load());
  return extent;
}

Result<void> SparseExtent::load_directory(u64 offset, std::vector<u32>& into) {
  const u64 covers = block_bytes_ * header_.entries_per_table;
  const u64 entries = size_bytes_ / covers + (size_bytes_ % covers != 0 ? 1 : 0);
  if (entries > kMaxDirectoryEntries || !range_fits(offset, entries * 4, file_->size_bytes()))
    return damaged("its directory lies outside the file");
  std::vector<u8> bytes(entries * 4);
  EMU_TRY(file_->read_flat(offset, bytes));
  into.resize(entries);
  for (u64 i = 0; i < entries; ++i) into[i] = load_le<u32>(&bytes[i * 4]);
  return {};
}

Result<void> SparseExtent::load() {
  EMU_TRY(load_directory(header_.directory_offset, directory_));
  if (header_.redundant_directory_offset != 0)
    EMU_TRY(load_directory(header_.redundant_directory_offset, redundant_));
  tables_.resize(directory_.size());
  std::set<u32> seen;
  std::vector<u8> bytes(u64{header_.entries_per_table} * 4);
  for (u64 i = 0; i < directory_.size(); ++i) {
    if (directory_[i] == 0) continue;
    const u64 at = u64{directory_[i]} * 512;
    if (!range_fits(at, bytes.size(), file_->size_bytes()) || !seen.insert(directory_[i]).second)
      return damaged(fmt::format("table {} lies outside the file or on another", i));
    EMU_TRY(file_->read_flat(at, bytes));
    auto& table = tables_[i];
    table.resize(header_.entries_per_table);
    for (u64 n = 0; n < table.size(); ++n) table[n] = load_le<u32>(&bytes[n * 4]);
  }
  end_ = align_up(file_->size_bytes(), 512);
  return {};
}

Result<BlockTableImage::Place> SparseExtent::find(u64 offset) {
  const u64 grain = offset / block_bytes_;
  const u64 inside = offset % block_bytes_;
  Place place;
  place.length_bytes = block_bytes_ - inside;
  const auto& table = tables_[grain / header_.entries_per_table];
  const u32 entry = table.empty() ? 0 : table[grain % header_.entries_per_table];
  if (entry == 0) return place;
  if (entry == kZeroGrain && (header_.flags & kFlagZeroGrain) != 0) {
    place.stored = Stored::kZero;
    return place;
  }
  const u64 at = u64{entry} * 512;
  if (at >= file_->size_bytes()) return damaged(fmt::format("grain {} lies beyond its end", grain));
  place.stored = Stored::kData;
  place.packed = is_packed();
  place.file_offset = place.packed ? at : at + inside;
  return place;
}

// Marker: u64 first sector, u32 packed bytes; then a zlib stream.
Result<void> SparseExtent::read_packed(const Place& place, u64 offset, Pieces out) {
  u8 marker[kGrainMarkerBytes];
  u64 at = place.file_offset;
  const bool has_marker = (header_.flags & kFlagMarkers) != 0;
  if (!has_marker) return damaged("compressed grains without markers");
  EMU_TRY(file_->read_flat(at, marker));
  at += kGrainMarkerBytes;
  const u64 packed_bytes = load_le<u32>(marker + 8);
  if (packed_bytes == 0 || packed_bytes > 2 * block_bytes_ ||
      !range_fits(at, packed_bytes, align_up(file_->size_bytes(), 512)))
    return damaged(fmt::format("a compressed grain of {} bytes", packed_bytes));
  std::vector<u8> packed(packed_bytes);
  EMU_TRY(file_->read_flat(at, packed));
  std::vector<u8> grain(block_bytes_);
  uLongf length = grain.size();
  const int status = ::uncompress(grain.data(), &length, packed.data(), packed.size());
  const u64 inside = offset % block_bytes_;
  const u64 wanted = inside + total_bytes(out);
  if (status != Z_OK || length < std::min(wanted, size_bytes_ - (offset - inside)))
    return damaged(fmt::format("the compressed grain at {} cannot be unpacked", place.file_offset));
  copy_to_pieces(out, std::span(grain).subspan(inside));
  return {};
}

Result<u64> SparseExtent::allocate(u64) {
  const u64 at = end_;
  if (at / 512 > 0xffffffff)
    return fail("{} cannot grow further; convert it to qcow2", file_->path());
  EMU_TRY(file_->write_zeroes(at, block_bytes_));
  end_ = at + block_bytes_;
  return at;
}

Result<void> SparseExtent::set_place(u64 block, u64 file_offset) {
  const u64 number = block / header_.entries_per_table;
  if (tables_[number].empty()) EMU_TRY(make_table(number));
  tables_[number][block % header_.entries_per_table] = static_cast<u32>(file_offset / 512);
  dirty_.push_back(block);
  return {};
}

// Tables are made with the image; another program may have left some out.
Result<void> SparseExtent::make_table(u64 number) {
  const u64 bytes = align_up(u64{header_.entries_per_table} * 4, 512);
  for (std::vector<u32>* directory : {&directory_, &redundant_}) {
    if (directory->empty()) continue;
    EMU_TRY(file_->write_zeroes(end_, bytes));
    (*directory)[number] = static_cast<u32>(end_ / 512);
    u8 entry[4];
    store_le<u32>(entry, (*directory)[number]);
    const u64 base =
        directory == &directory_ ? header_.directory_offset : header_.redundant_directory_offset;
    EMU_TRY(file_->write_flat(base + number * 4, entry));
    end_ += bytes;
  }
  tables_[number].resize(header_.entries_per_table);
  return {};
}

Result<void> SparseExtent::write_table() {
  for (const u64 grain : dirty_) {
    const u64 number = grain / header_.entries_per_table;
    const u64 index = grain % header_.entries_per_table;
    u8 entry[4];
    store_le<u32>(entry, tables_[number][index]);
    if (!redundant_.empty() && redundant_[number] != 0)
      EMU_TRY(file_->write_flat(u64{redundant_[number]} * 512 + index * 4, entry));
    EMU_TRY(file_->write_flat(u64{directory_[number]} * 512 + index * 4, entry));
  }
  dirty_.clear();
  return {};
}

ImageInfo SparseExtent::info() const {
  return basic_info();
}

Result<void> SparseExtent::write(u64 offset, Pieces in) {
  if (!is_packed()) return BlockTableImage::write(offset, in);
  PieceCursor cursor(in);
  for (u64 left = total_bytes(in); left != 0;) {
    const u64 n = std::min(left, block_bytes_);
    std::vector<u8> grain(n);
    copy_from_pieces(cursor.take(n), grain);
    EMU_TRY(write_compressed(offset, grain));
    offset += n;
    left -= n;
  }
  return {};
}

Result<void> SparseExtent::write_zeroes(u64 offset, u64 length_bytes) {
  if (!is_packed()) return BlockTableImage::write_zeroes(offset, length_bytes);
  auto place = map(offset, length_bytes);
  if (!place) return place.error();
  if (place->stored != Stored::kData && place->length_bytes == length_bytes) return {};
  return Error{ENOTSUP, file_->path() + " is streamOptimized: what is written once stays"};
}

Result<void> SparseExtent::write_compressed(u64 offset, std::span<const u8> grain) {
  const bool whole = offset % block_bytes_ == 0 &&
                     (grain.size() == block_bytes_ || offset + grain.size() == size_bytes_);
  if (!is_packed() || !whole)
    return Error{ENOTSUP, fmt::format("{} {}", file_->path(),
                                      is_packed() ? "is streamOptimized: only whole grains can be "
                                                    "written, each once"
                                                  : "cannot hold compressed data; use -o "
                                                    "subformat=streamOptimized")};
  std::vector<u8> full(block_bytes_);
  std::copy(grain.begin(), grain.end(), full.begin());
  std::vector<u8> bytes(kGrainMarkerBytes + ::compressBound(full.size()));
  uLongf length = bytes.size() - kGrainMarkerBytes;
  if (::compress2(bytes.data() + kGrainMarkerBytes, &length, full.data(), full.size(),
                  Z_DEFAULT_COMPRESSION) != Z_OK)
    return Error{ENOMEM, "zlib cannot compress"};
  store_le<u64>(bytes.data(), offset / 512);
  store_le<u32>(bytes.data() + 8, static_cast<u32>(length));
  bytes.resize(align_up(kGrainMarkerBytes + length, 512));
  return append_block(offset / block_bytes_, bytes, end_);
}

// Header, [descriptor], redundant directory and tables, directory and tables, then grains.
Result<void> create_sparse(ByteFile& file, const SparseCreateOptions& o) {
  constexpr u64 kGrainSectors = 128;
  constexpr u64 kEntries = 512;
  constexpr u64 kTableSectors = kEntries * 4 / 512;
  const u64 sectors = align_up(o.size_bytes, 512) / 512;
  const u64 grains = (sectors + kGrainSectors - 1) / kGrainSectors;
  const u64 tables = (grains + kEntries - 1) / kEntries;
  const u64 directory_sectors = (tables * 4 + 511) / 512;
  const u64 descriptor_sectors = o.descriptor.empty() ? 0 : 20;
  const u64 redundant = 1 + descriptor_sectors;
  const u64 directory = redundant + directory_sectors + tables * kTableSectors;
  const u64 overhead =
      align_up(directory + directory_sectors + tables * kTableSectors, kGrainSectors);
  std::vector<u8> b(kHeaderBytes);
  const auto put64 = [&](u64 at, u64 value) { store_le<u64>(&b[at], value); };
  store_le<u32>(b.data(), kMagic);
  store_le<u32>(&b[4], o.packed ? 3u : 1u);
  store_le<u32>(&b[8],
                kFlagNewlineTest | kFlagRedundant | (o.packed ? kFlagPacked | kFlagMarkers : 0u));
  put64(12, sectors);
  put64(20, kGrainSectors);
  put64(28, descriptor_sectors == 0 ? 0 : 1);
  put64(36, descriptor_sectors);
  store_le<u32>(&b[44], static_cast<u32>(kEntries));
  put64(48, redundant);
  put64(56, directory);
  put64(64, overhead);
  std::memcpy(&b[73], "\n \r\n", 4);
  store_le<u16>(&b[77], o.packed ? u16{1} : u16{0});
  EMU_TRY(file.write_flat(0, b));
  if (descriptor_sectors != 0) {
    std::vector<u8> text(o.descriptor.begin(), o.descriptor.end());
    text.resize(descriptor_sectors * 512);
    EMU_TRY(file.write_flat(512, text));
  }
  EMU_TRY(file.grow(overhead * 512));
  for (const u64 start : {redundant, directory}) {
    std::vector<u8> entries(directory_sectors * 512);
    for (u64 i = 0; i < tables; ++i)
      store_le<u32>(&entries[i * 4],
                    static_cast<u32>(start + directory_sectors + i * kTableSectors));
    EMU_TRY(file.write_flat(start * 512, entries));
  }
  return {};
}

}  // namespace emu::vmdk
