// SPDX-License-Identifier: Apache-2.0
// Opening and reading a qcow2 image.
#include "block/qcow2/qcow2_image.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <mutex>

#include "base/bits.h"
#include "base/log.h"
#include "block/crypt/luks.h"
#include "block/qcow2/qcow2_check.h"

namespace emu::qcow2 {
namespace {

constexpr u64 kL2CacheBytes = 8 * kMiB;
constexpr u64 kL2SliceBytes = 16 * kKiB;
constexpr u64 kEntriesAtOnce = 64;

}  // namespace

Qcow2Image::Qcow2Image(std::unique_ptr<ByteFile> file, std::unique_ptr<ByteFile> data,
                       Header header, std::unique_ptr<DiskImage> backing,
                       std::unique_ptr<crypt::SectorCipher> cipher)
    : file_(std::move(file)),
      data_(std::move(data)),
      header_(std::move(header)),
      backing_(std::move(backing)),
      bitmaps_(*file_, header_) {
  if (header_.crypt_method == kCryptAes && cipher) {
    old_aes_ = std::move(cipher);
  } else if (header_.crypt_method != kCryptNone) {
    crypt_ = std::make_unique<crypt::CryptFile>(stored_data(), 0, std::move(cipher));
  }
}

Error Qcow2Image::damaged_text(const std::string& what) const {
  return Error{EIO, fmt::format("{} is damaged: {}; try: emu img check -r all {}", file_->path(),
                                what, file_->path())};
}

Result<std::unique_ptr<Qcow2Image>> Qcow2Image::open(std::unique_ptr<ByteFile> file, Header header,
                                                     std::unique_ptr<DiskImage> backing,
                                                     std::unique_ptr<ByteFile> data,
                                                     std::unique_ptr<crypt::SectorCipher> cipher) {
  if (header.external_data() != (data != nullptr))
    return fail("{} keeps its data in another file, which is missing", file->path());
  auto truncated = is_truncated(*file, header);
  if (!truncated) return truncated.error();
  if (*truncated) {
    return fail(
        "{} is cut short: it ends at {} bytes, and data lies beyond; copy or download it "
        "again",
        file->path(), file->size_bytes());
  }
  const bool writable = !file->read_only();
  if (writable && header.crypt_method == kCryptAes)
    return fail(
        "{} has the old AES encryption, which can only be read; convert it to LUKS: "
        "emu img convert --key-file KEY -O qcow2 -o encrypt.format=luks {} COPY",
        file->path(), file->path());
  if (writable && (header.incompatible & kIncompatibleCorrupt) != 0) {
    return fail(
        "{} is marked corrupt, so it can only be read; repair it: emu img check -r all "
        "{}, or attach it read-only",
        file->path(), file->path());
  }
  if (writable && (header.incompatible & kIncompatibleDirty) != 0) {
    log(LogLevel::kInfo, "block", "{} was not closed properly; repairing its refcounts",
        file->path());
    EMU_TRY(repair_refcounts(*file, header));
    auto reread = read_header(*file);
    if (!reread) return reread.error();
    header = std::move(*reread);
  }
  std::unique_ptr<Qcow2Image> image(new Qcow2Image(
      std::move(file), std::move(data), std::move(header), std::move(backing), std::move(cipher)));
  // Damage there is no reason to refuse the disk.
  if (auto loaded = image->bitmaps_.load(); !loaded)
    log(LogLevel::kWarning, "block", "{}; they are dropped when the disk is written",
        loaded.error().message);
  EMU_TRY(image->load());
  return image;
}

Result<void> Qcow2Image::load() {
  const unsigned bits_per_cluster = header_.cluster_bits;
  metadata_ = MetadataMap();
  l2_.emplace(*file_, std::min(kL2SliceBytes, header_.cluster_bytes()), kL2CacheBytes,
              TableCache::WriteBack::kOnlyWhenTold);
  refcounts_.emplace(*file_, header_, metadata_);
  metadata_.add_range(0, 1);
  metadata_.add_range(header_.refcount_table_offset >> bits_per_cluster,
                      header_.refcount_table_clusters);
  metadata_.add_range(header_.l1_offset >> bits_per_cluster,
                      header_.clusters_for(u64{header_.l1_entries} * kEntryBytes));
  metadata_.add_range(header_.snapshots_offset >> bits_per_cluster,
                      header_.clusters_for(header_.snapshots_bytes));
  for (const Snapshot& s : header_.snapshots)
    metadata_.add_range(s.l1_offset >> bits_per_cluster,
                        header_.clusters_for(u64{s.l1_entries} * kEntryBytes));
  metadata_.add_range(header_.luks_offset >> bits_per_cluster,
                      header_.clusters_for(header_.luks_bytes));
  if (!read_only()) {
    if (auto loaded = refcounts_->load(); !loaded) return damaged("{}", loaded.error().message);
  }
  EMU_TRY(load_l1());
  if (read_only() || bitmaps_.enter_places(metadata_)) return {};
  log(LogLevel::kWarning, "block", "{}: its bitmaps lie on other tables and will be dropped",
      file_->path());
  bitmaps_.forget();
  return {};
}

Result<void> Qcow2Image::load_l1() {
  std::vector<u8> bytes(u64{header_.l1_entries} * kEntryBytes);
  EMU_TRY(file_->read_flat(header_.l1_offset, bytes));
  l1_.resize(header_.l1_entries);
  for (u64 i = 0; i < l1_.size(); ++i) {
    l1_[i] = load_be<u64>(&bytes[i * kEntryBytes]);
    const u64 table = l1_[i] & kEntryOffsetMask;
    if (table == 0) continue;
    if (in_cluster(table) != 0) return damaged("L2 table {} at {} is not a cluster", i, table);
    if (table >= file_->size_bytes())
      return fail(
          "{} is cut short: its L2 table {} lies beyond its end at {} bytes; copy or "
          "download it again",
          file_->path(), i, file_->size_bytes());
    if (!read_only() && !metadata_.add(table >> header_.cluster_bits))
      return damaged("L2 table {} at {} overlaps another table", i, table);
  }
  return {};
}

std::string Qcow2Image::describe() const {
  std::string text =
      fmt::format("{} (qcow2, {}", base_name(file_->path()),
                  part_of_size_text(file_->allocated_bytes(), std::max<u64>(size_bytes(), 1)));
  if (!header_.backing_file.empty()) text += ", on " + base_name(header_.backing_file);
  if (!header_.snapshots.empty())
    text += fmt::format(", {} internal snapshot{}", header_.snapshots.size(),
                        header_.snapshots.size() == 1 ? "" : "s");
  if (read_only()) text += ", read-only";
  return text + ")";
}

Qcow2Image::Entry Qcow2Image::decode_entry(const u8* bytes) const {
  Entry entry;
  entry.word = load_be<u64>(bytes);
  if (header_.extended_l2()) entry.bitmap = load_be<u64>(bytes + kEntryBytes);
  return entry;
}

// `unit`: the subcluster's number in its cluster; 0 without extended entries. In an external data
// file offset 0 is a place like any other.
Qcow2Image::Kind Qcow2Image::kind_of(const Entry& entry, u64 unit) const {
  if ((entry.word & kEntryCompressed) != 0) return Kind::kCompressed;
  const bool has_place = (entry.word & kEntryOffsetMask) != 0 ||
                         (data_ != nullptr && (entry.word & kEntryCopied) != 0);
  if (header_.extended_l2()) {
    if (bit(entry.bitmap, static_cast<unsigned>(unit)) && has_place) return Kind::kData;
    return bit(entry.bitmap, static_cast<unsigned>(unit) + kSubclusters) ? Kind::kZero
                                                                         : Kind::kUnallocated;
  }
  if (header_.version >= 3 && (entry.word & kEntryZero) != 0) return Kind::kZero;
  return has_place ? Kind::kData : Kind::kUnallocated;
}

Result<Qcow2Image::Entry> Qcow2Image::read_entry(u64 offset) {
  const u64 table = l1_[l1_index(offset)] & kEntryOffsetMask;
  if (table == 0) return Entry{};
  const u64 entry_bytes = header_.l2_entry_bytes();
  u8 bytes[kExtendedL2EntryBytes];
  EMU_TRY(l2_->read(table + l2_index(offset) * entry_bytes, std::span(bytes).first(entry_bytes)));
  return decode_entry(bytes);
}

// The longest stretch from `offset`, of at most `max_bytes`, that one transfer can serve.
Result<Qcow2Image::Extent> Qcow2Image::find(u64 offset, u64 max_bytes, Tables tables) {
  const u64 cluster_bytes = header_.cluster_bytes();
  const u64 unit_bytes = header_.unit_bytes();
  Extent extent;
  const u64 l1_entry = l1_[l1_index(offset)];
  const u64 table = l1_entry & kEntryOffsetMask;
  if (table == 0) {
    const u64 covers = header_.l2_covers_bytes();
    extent.length_bytes = std::min(max_bytes, covers - offset % covers);
    return extent;
  }
  const u64 entry_bytes = header_.l2_entry_bytes();
  const u64 first = l2_index(offset);
  const u64 per_slice = l2_->slice_bytes() / entry_bytes;
  const u64 wanted = header_.clusters_for(in_cluster(offset) + max_bytes);
  const u64 count = std::min({kEntriesAtOnce, per_slice - first % per_slice, wanted});
  u8 bytes[kEntriesAtOnce * kExtendedL2EntryBytes];
  const u64 place = table + first * entry_bytes;
  const auto entries = std::span(bytes).first(count * entry_bytes);
  if (tables == Tables::kLoad) {
    EMU_TRY(l2_->read(place, entries));
  } else if (!l2_->read_cached(place, entries)) {
    return Error{EAGAIN, {}};
  }

  extent.entry = decode_entry(bytes);
  const u64 first_unit = in_cluster(offset) / unit_bytes;
  extent.kind = kind_of(extent.entry, first_unit);
  const u64 host = extent.entry.word & kEntryOffsetMask;
  if (extent.kind == Kind::kData) EMU_TRY(check_data(host));
  const u64 units_per_cluster = cluster_bytes / unit_bytes;
  Entry entry = extent.entry;
  u64 unit = first_unit + 1;  // counted from the first cluster's start
  for (; unit < count * units_per_cluster && extent.kind != Kind::kCompressed; ++unit) {
    const u64 in_entry = unit % units_per_cluster;
    if (in_entry == 0) entry = decode_entry(bytes + unit / units_per_cluster * entry_bytes);
    if (kind_of(entry, in_entry) != extent.kind) break;
    if (extent.kind != Kind::kData || in_entry != 0) continue;
    const u64 at = entry.word & kEntryOffsetMask;
    if (at != host + unit * unit_bytes || !check_data(at)) break;
    if (((entry.word ^ extent.entry.word) & kEntryCopied) != 0) break;
  }
  const u64 end = extent.kind == Kind::kCompressed ? cluster_bytes : unit * unit_bytes;
  extent.host_offset = host + in_cluster(offset);
  extent.in_place =
      extent.kind == Kind::kData && (extent.entry.word & l1_entry & kEntryCopied) != 0;
  extent.length_bytes = std::min(max_bytes, end - in_cluster(offset));
  return extent;
}

Result<void> Qcow2Image::check_data(u64 host) const {
  if (in_cluster(host) != 0) return damaged("data at {} is not a cluster", host);
  // A cluster may reach over the end of the file but not start there.
  if (host >= data_file().size_bytes() && data_ == nullptr)
    return damaged("data at {} lies beyond the file's end", host);
  return {};
}

Result<void> Qcow2Image::read(u64 offset, Pieces out) {
  const std::shared_lock lock(lock_);
  return read_mapped(offset, out);
}

bool Qcow2Image::read_at_once(u64 offset, Pieces out) {
  if (old_aes_) return false;
  const std::shared_lock lock(lock_, std::try_to_lock);
  if (!lock) return false;
  PieceCursor cursor(out);
  for (u64 left = total_bytes(out); left != 0;) {
    const auto extent = find(offset, left, Tables::kOnlyCached);
    if (!extent) return false;
    const u64 n = extent->length_bytes;
    const auto part = cursor.take(n);
    if (extent->kind == Kind::kData) {
      if (!data_file().read_at_once(extent->host_offset, part)) return false;
    } else if (extent->kind == Kind::kZero) {
      zero_pieces(part);
    } else if (extent->kind == Kind::kUnallocated && !shows_backing(offset)) {
      zero_pieces(part);
    } else if (extent->kind == Kind::kCompressed ||
               !range_fits(offset, n, backing_->size_bytes()) ||
               !backing_->read_at_once(offset, part)) {
      return false;
    }
    offset += n;
    left -= n;
  }
  return true;
}

// Reads only: a write under way must keep its cluster from being freed and used for a table, which
// the lock does and a transfer of the host's does not.
std::optional<HostPlace> Qcow2Image::place(bool is_write, u64 offset, Pieces pieces) {
  if (is_write || old_aes_) return std::nullopt;
  const std::shared_lock lock(lock_, std::try_to_lock);
  if (!lock) return std::nullopt;
  const u64 length = total_bytes(pieces);
  const auto extent = find(offset, length, Tables::kOnlyCached);
  if (!extent || extent->kind != Kind::kData || extent->length_bytes != length) return std::nullopt;
  return data_file().place(false, extent->host_offset, pieces);
}

Result<void> Qcow2Image::read_mapped(u64 offset, Pieces out) {
  PieceCursor cursor(out);
  for (u64 left = total_bytes(out); left != 0;) {
    auto extent = find(offset, left);
    if (!extent) return extent.error();
    const auto part = cursor.take(extent->length_bytes);
    EMU_TRY(read_extent(*extent, offset, part));
    offset += extent->length_bytes;
    left -= extent->length_bytes;
  }
  return {};
}

Result<void> Qcow2Image::read_extent(const Extent& extent, u64 offset, Pieces out) {
  switch (extent.kind) {
    case Kind::kData:
      if (old_aes_) return read_old_aes(extent.host_offset, offset, out);
      return data_file().read(extent.host_offset, out);
    case Kind::kCompressed:
      return read_compressed(extent.entry.word, in_cluster(offset), out);
    case Kind::kZero:
      zero_pieces(out);
      return {};
    case Kind::kUnallocated:
      return read_backing(offset, out);
  }
  return {};
}

// Sectors are encrypted under their place on the disk, not in the file. A transfer that is not of
// whole sectors is made of them.
Result<void> Qcow2Image::read_old_aes(u64 host_offset, u64 offset, Pieces out) {
  const u64 inside = offset % crypt::kSectorBytes;
  std::vector<u8> bytes(align_up(inside + total_bytes(out), crypt::kSectorBytes));
  EMU_TRY(stored_data().read_flat(host_offset - inside, bytes));
  old_aes_->decrypt(offset / crypt::kSectorBytes, bytes);
  copy_to_pieces(out, std::span<const u8>(bytes).subspan(inside, total_bytes(out)));
  return {};
}

Result<std::unique_ptr<crypt::SectorCipher>> unlock(ByteFile& file, const Header& header,
                                                    const std::string& passphrase) {
  if (header.crypt_method == kCryptNone || passphrase.empty())
    return std::unique_ptr<crypt::SectorCipher>();
  if (header.crypt_method == kCryptLuks)
    return crypt::unlock_luks(file, header.luks_offset, passphrase);
  std::array<u8, 16> key{};
  std::copy_n(passphrase.begin(), std::min(passphrase.size(), key.size()), key.begin());
  return crypt::SectorCipher::create("aes", "cbc-plain64", key);
}

// A backing image shorter than this one reads as zero beyond its end.
Result<void> Qcow2Image::read_backing(u64 offset, Pieces out) {
  if (!shows_backing(offset)) {
    zero_pieces(out);
    return {};
  }
  const u64 length = total_bytes(out);
  const u64 inside = std::min(length, backing_->size_bytes() - offset);
  PieceCursor cursor(out);
  EMU_TRY(backing_->read(offset, cursor.take(inside)));
  zero_pieces(cursor.take(length - inside));
  return {};
}

// Compressed cluster descriptor: x = 62 - (cluster_bits - 8); bits 0..x-1 host offset (any byte),
// bits x..61 number of further 512-byte sectors.
Result<void> Qcow2Image::read_compressed(u64 word, u64 inside, Pieces out) {
  if (data_ != nullptr) return damaged("compressed data in an image with an external data file");
  std::vector<u8> flat(total_bytes(out));
  if (!unpacked_.read(word, inside, flat)) {
    const unsigned x = 62 - (header_.cluster_bits - 8);
    const u64 host = bits(word, 0, x);
    const u64 sectors = bits(word, x, 62 - x) + 1;
    if (host >= file_->size_bytes())
      return damaged("compressed data at {} lies beyond the file's end", host);
    std::vector<u8> packed(sectors * 512 - (host & 511));
    EMU_TRY(file_->read_flat(host, packed));
    std::vector<u8> cluster(header_.cluster_bytes());
    if (auto done = decompress(header_.compression_type, packed, cluster); !done)
      return damaged("{} (at {})", done.error().message, host);
    std::copy_n(cluster.begin() + static_cast<std::ptrdiff_t>(inside), flat.size(), flat.begin());
    unpacked_.keep(word, std::move(cluster));
  }
  copy_to_pieces(out, flat);
  return {};
}

Result<MapExtent> Qcow2Image::map(u64 offset, u64 max_bytes) {
  const std::shared_lock lock(lock_);
  auto extent = find(offset, std::min(max_bytes, size_bytes() - offset));
  if (!extent) return extent.error();
  MapExtent out;
  out.length_bytes = extent->length_bytes;
  switch (extent->kind) {
    case Kind::kData:
      if (header_.crypt_method == kCryptNone) out.file_offset = extent->host_offset;
      return out;
    case Kind::kCompressed:
      out.compressed = true;
      return out;
    case Kind::kZero:
      out.stored = Stored::kZero;
      if (const u64 host = extent->entry.word & kEntryOffsetMask;
          host != 0 && header_.cluster_bytes() - in_cluster(offset) >= extent->length_bytes)
        out.file_offset = host + in_cluster(offset);
      return out;
    case Kind::kUnallocated:
      out.stored = Stored::kBelow;
      return out;
  }
  return out;
}

ImageInfo Qcow2Image::info() const {
  ImageInfo info;
  info.file = file_->path();
  info.format = "qcow2";
  info.virtual_bytes = header_.size_bytes;
  info.actual_bytes = file_->allocated_bytes();
  info.cluster_bytes = header_.cluster_bytes();
  info.backing_file = header_.backing_file;
  info.backing_format = header_.backing_format;
  info.is_encrypted = header_.crypt_method != kCryptNone;
  info.is_dirty = (header_.incompatible & kIncompatibleDirty) != 0;
  for (const Snapshot& s : header_.snapshots) info.snapshots.push_back(s.about);
  for (const Bitmap& b : bitmaps_.all())
    info.bitmaps.push_back({b.name, u64{1} << b.granularity_bits, (b.flags & kBitmapInUse) != 0,
                            (b.flags & kBitmapAuto) != 0});
  const auto add = [&](const char* name, InfoValue value) {
    info.details.emplace_back(name, std::move(value));
  };
  add("compat", std::string(header_.version >= 3 ? "1.1" : "0.10"));
  add("compression-type",
      std::string(header_.compression_type == kCompressionZstd ? "zstd" : "zlib"));
  if (header_.version >= 3) {
    add("lazy-refcounts", (header_.compatible & kCompatibleLazyRefcounts) != 0);
    if (!header_.data_file.empty()) {
      add("data-file", header_.data_file);
      add("data-file-raw", (header_.autoclear & kAutoclearRawData) != 0);
    }
    add("refcount-bits", u64{1} << header_.refcount_order);
    add("corrupt", (header_.incompatible & kIncompatibleCorrupt) != 0);
    add("extended-l2", header_.extended_l2());
  } else {
    add("refcount-bits", u64{16});
  }
  return info;
}

}  // namespace emu::qcow2
