// SPDX-License-Identifier: Apache-2.0
// Reading the bitmap directory, and keeping bitmaps up to date.
// Crash order: "in use" is on stable storage before the disk changes; new clusters of bits are
// counted before a table leads to them; the mark goes last.
#include "block/qcow2/bitmaps.h"

#include <algorithm>
#include <cstring>

#include "base/bits.h"

namespace emu::qcow2 {
namespace {

// Directory entry: u64 table offset, u32 table entries, u32 flags, u8 type, u8 granularity bits,
// u16 name length, u32 extra length, then extra data and name, padded to 8.
constexpr u64 kEntryHeadBytes = 24;
constexpr u64 kOffFlags = 12;
constexpr u64 kMaxDirectoryBytes = 64 * kMiB;
constexpr u64 kMaxBitmaps = 65535;

class DirectoryReader {
 public:
  DirectoryReader(ByteFile& file, const Header& header) : file_(file), h_(header) {}

  Result<std::vector<Bitmap>> read() {
    std::vector<Bitmap> found;
    if (h_.bitmaps == 0 || (h_.autoclear & kAutoclearBitmaps) == 0) return found;
    if (h_.bitmaps > kMaxBitmaps || h_.bitmap_directory_bytes > kMaxDirectoryBytes)
      return damaged("{} bitmaps in {} bytes", h_.bitmaps, h_.bitmap_directory_bytes);
    EMU_TRY(check_place("directory", h_.bitmap_directory_offset, h_.bitmap_directory_bytes));
    directory_.resize(h_.bitmap_directory_bytes);
    EMU_TRY(file_.read_flat(h_.bitmap_directory_offset, directory_));
    for (u32 i = 0; i < h_.bitmaps; ++i) {
      auto bitmap = read_entry();
      if (!bitmap) return bitmap.error();
      found.push_back(std::move(*bitmap));
    }
    return found;
  }

 private:
  template <class... A>
  Error damaged(fmt::format_string<A...> what, A&&... a) const {
    return fail("the bitmaps of {} are damaged: {}", file_.path(),
                fmt::format(what, std::forward<A>(a)...));
  }

  Result<void> check_place(std::string_view what, u64 offset, u64 bytes) const {
    if (offset == 0 || offset % h_.cluster_bytes() != 0 || bytes == 0)
      return damaged("{} of {} bytes at {}", what, bytes, offset);
    if (!range_fits(offset, bytes, file_.size_bytes()))
      return damaged("the {} at {} lies beyond the file's end", what, offset);
    return {};
  }

  Result<Bitmap> read_entry() {
    if (!range_fits(at_, kEntryHeadBytes, directory_.size())) return damaged("a short directory");
    const u8* head = &directory_[at_];
    Bitmap b;
    b.directory_at = h_.bitmap_directory_offset + at_;
    b.table_offset = load_be<u64>(head);
    const u64 entries = load_be<u32>(head + 8);
    b.flags = load_be<u32>(head + kOffFlags);
    b.type = head[16];
    b.granularity_bits = head[17];
    const u64 name_bytes = load_be<u16>(head + 18);
    const u64 extra_bytes = load_be<u32>(head + 20);
    if (!range_fits(at_ + kEntryHeadBytes, extra_bytes + name_bytes, directory_.size()))
      return damaged("a short directory");
    const auto rest = directory_.begin() + static_cast<std::ptrdiff_t>(at_ + kEntryHeadBytes);
    const auto name = rest + static_cast<std::ptrdiff_t>(extra_bytes);
    b.extra.assign(rest, name);
    b.name.assign(name, name + static_cast<std::ptrdiff_t>(name_bytes));
    at_ += align_up(kEntryHeadBytes + extra_bytes + name_bytes, 8);
    if (name_bytes == 0 || name_bytes > kMaxBitmapNameBytes) return damaged("a bitmap's name");
    if (b.granularity_bits < kMinBitmapGranularityBits ||
        b.granularity_bits > kMaxBitmapGranularityBits)
      return damaged("a granularity of 2^{}", b.granularity_bits);
    EMU_TRY(read_table(b, entries));
    return b;
  }

  Result<void> read_table(Bitmap& b, u64 entries) {
    table_entries_ += entries;
    if (table_entries_ > kMaxBitmapTableEntries)
      return damaged("more tables than a real image has");
    EMU_TRY(
        check_place("table of bitmap " + printable(b.name), b.table_offset, entries * kEntryBytes));
    if ((b.flags & kBitmapInUse) == 0 &&
        entries < bitmap_table_entries(h_, b.granularity_bits, h_.size_bytes))
      return damaged("bitmap {} is too small for the disk", printable(b.name));
    std::vector<u8> bytes(entries * kEntryBytes);
    EMU_TRY(file_.read_flat(b.table_offset, bytes));
    b.table.resize(entries);
    for (u64 i = 0; i < entries; ++i) {
      b.table[i] = load_be<u64>(&bytes[i * kEntryBytes]);
      if (const u64 host = b.table[i] & kEntryOffsetMask; host != 0)
        EMU_TRY(check_place("data of bitmap " + printable(b.name), host, 1));
    }
    return {};
  }

  static std::string printable(std::string text) {
    for (char& c : text) {
      if (c < 0x20 || c == 0x7f) c = '?';
    }
    return text;
  }

  ByteFile& file_;
  const Header& h_;
  std::vector<u8> directory_;
  u64 at_ = 0;
  u64 table_entries_ = 0;
};

}  // namespace

u64 bitmap_table_entries(const Header& h, unsigned granularity_bits, u64 disk_bytes) {
  const u64 bits = (disk_bytes + low_mask(granularity_bits)) >> granularity_bits;
  const u64 bits_per_cluster = h.cluster_bytes() * 8;
  return std::max<u64>(1, bits / bits_per_cluster + (bits % bits_per_cluster != 0 ? 1 : 0));
}

Result<std::vector<Bitmap>> read_bitmaps(ByteFile& file, const Header& header) {
  return DirectoryReader(file, header).read();
}

Result<void> BitmapKeeper::load() {
  bitmaps_.clear();
  auto found = read_bitmaps(file_, header_);
  if (!found) return found.error();
  bitmaps_ = std::move(*found);
  pending_.resize(bitmaps_.size());
  return {};
}

bool BitmapKeeper::enter_places(MetadataMap& metadata) const {
  const std::vector<u64> clusters = clusters_of(bitmaps_, header_);
  return std::all_of(clusters.begin(), clusters.end(), [&](u64 c) { return metadata.add(c); });
}

Result<void> BitmapKeeper::write_flags(const Bitmap& bitmap) {
  u8 field[4];
  store_be<u32>(field, bitmap.flags);
  return file_.write_flat(bitmap.directory_at + kOffFlags, field);
}

Result<void> BitmapKeeper::hold(Which which) {
  bool any = false;
  for (Bitmap& b : bitmaps_) {
    // One that we do not understand stays "in use" if it should have recorded.
    const bool is_wanted = which == Which::kAll || (b.flags & kBitmapAuto) != 0;
    if (!is_wanted || b.is_held || (b.flags & kBitmapInUse) != 0) continue;
    b.flags |= kBitmapInUse;
    EMU_TRY(write_flags(b));
    b.is_held = b.is_known();
    any = true;
  }
  return any ? file_.flush() : Result<void>();
}

void BitmapKeeper::mark(u64 offset, u64 length_bytes) {
  for (std::size_t i = 0; i < bitmaps_.size(); ++i) {
    if (bitmaps_[i].is_held && bitmaps_[i].records()) mark_in(i, offset, length_bytes);
  }
}

void BitmapKeeper::mark_in(std::size_t index, u64 offset, u64 length_bytes) {
  if (length_bytes == 0) return;
  const unsigned g = bitmaps_[index].granularity_bits;
  const std::lock_guard lock(mutex_);
  set_bits(pending_[index], offset >> g, ((offset + length_bytes - 1) >> g) + 1);
}

void BitmapKeeper::set_bits(Pending& pending, u64 first, u64 end) {
  const u64 per_cluster = header_.cluster_bytes() * 8;
  while (first < end) {
    const u64 index = first / per_cluster;
    const u64 from = first % per_cluster;
    const u64 to = std::min(end - index * per_cluster, per_cluster);
    first = index * per_cluster + to;
    const auto [place, is_new] = pending.try_emplace(index);
    std::vector<u8>& bits = place->second;
    if (!is_new && bits.empty()) continue;
    if (from == 0 && to == per_cluster) {
      if (!bits.empty()) --pending_clusters_;
      bits = {};
      continue;
    }
    if (is_new) {
      bits.resize(header_.cluster_bytes());
      ++pending_clusters_;
    }
    for (u64 bit = from; bit < to;) {
      if (bit % 8 == 0 && to - bit >= 8) {
        const u64 bytes = (to - bit) / 8;
        std::memset(&bits[bit / 8], 0xff, bytes);
        bit += bytes * 8;
      } else {
        bits[bit / 8] = static_cast<u8>(bits[bit / 8] | 1u << (bit % 8));
        ++bit;
      }
    }
  }
}

Result<void> BitmapKeeper::store(Refcounts& refcounts, MetadataMap& metadata) {
  const std::lock_guard lock(mutex_);
  bool any = false;
  bool allocated = false;
  std::vector<bool> touched(bitmaps_.size());
  for (std::size_t i = 0; i < bitmaps_.size(); ++i) {
    for (const auto& [index, bits] : pending_[i]) {
      if (index >= bitmaps_[i].table.size()) continue;
      EMU_TRY(store_cluster(bitmaps_[i].table[index], bits, refcounts, metadata, allocated));
      touched[i] = any = true;
    }
  }
  if (allocated) EMU_TRY(refcounts.commit());
  if (any) EMU_TRY(file_.flush());
  for (std::size_t i = 0; i < bitmaps_.size(); ++i) {
    if (!touched[i]) continue;
    std::vector<u8> bytes(bitmaps_[i].table.size() * kEntryBytes);
    for (u64 n = 0; n < bitmaps_[i].table.size(); ++n)
      store_be<u64>(&bytes[n * kEntryBytes], bitmaps_[i].table[n]);
    EMU_TRY(file_.write_flat(bitmaps_[i].table_offset, bytes));
    pending_[i].clear();
  }
  pending_clusters_ = 0;
  return {};
}

// Lays new bits over those that the table entry stands for.
Result<void> BitmapKeeper::store_cluster(u64& entry, const std::vector<u8>& bits,
                                         Refcounts& refcounts, MetadataMap& metadata,
                                         bool& allocated) {
  u64 host = entry & kEntryOffsetMask;
  if (host == 0 && (entry == kBitmapEntryOnes || bits.empty())) {
    entry = kBitmapEntryOnes;
    return {};
  }
  std::vector<u8> bytes(header_.cluster_bytes(), bits.empty() ? u8{0xff} : u8{0});
  if (host != 0) {
    if (!bits.empty()) EMU_TRY(file_.read_flat(host, bytes));
  } else {
    auto cluster = refcounts.allocate();
    if (!cluster) return cluster.error();
    if (!metadata.add(*cluster))
      return fail("{}: a new cluster of a bitmap lies on a table", file_.path());
    host = *cluster << header_.cluster_bits;
    allocated = true;
  }
  for (u64 i = 0; i < bits.size(); ++i) bytes[i] |= bits[i];
  EMU_TRY(file_.write_flat(host, bytes));
  entry = host;
  return {};
}

Result<void> BitmapKeeper::release() {
  EMU_TRY(file_.flush());
  bool any = false;
  for (Bitmap& b : bitmaps_) {
    if (!b.is_held) continue;
    b.flags &= ~kBitmapInUse;
    b.is_held = false;
    EMU_TRY(write_flags(b));
    any = true;
  }
  return any ? file_.flush() : Result<void>();
}

}  // namespace emu::qcow2
