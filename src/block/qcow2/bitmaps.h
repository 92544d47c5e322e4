// SPDX-License-Identifier: Apache-2.0
// Bitmaps in a qcow2 image: which parts of the disk were written since some moment (for backups).
// Those that record are kept up to date, as qemu keeps them: "in use" on disk while the image is
// being written, so that a crash shows, and consistent again once it was closed.
// Source: qcow2 spec: bitmaps. Limits where the text has none are qemu's.
// Threads: mark() any; everything else under the image's exclusive lock.
#pragma once

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "block/qcow2/qcow2_header.h"
#include "block/qcow2/refcounts.h"

namespace emu::qcow2 {

inline constexpr u32 kBitmapInUse = 1u << 0;
inline constexpr u32 kBitmapAuto = 1u << 1;
inline constexpr u32 kBitmapExtraIsHarmless = 1u << 2;
inline constexpr u8 kBitmapTypeDirty = 1;
inline constexpr u64 kBitmapEntryOnes = 1;  // a table entry without a cluster: all bits are set
inline constexpr unsigned kMinBitmapGranularityBits = 9;
inline constexpr unsigned kMaxBitmapGranularityBits = 31;
inline constexpr u64 kMaxBitmapNameBytes = 1023;
inline constexpr u64 kMaxBitmapBytes = 512 * kMiB;      // of one
inline constexpr u64 kMaxBitmapTableEntries = 4 << 20;  // of all bitmaps together

// An entry of the bitmap directory, with its table.
struct Bitmap {
  std::string name;
  u32 flags = 0;
  u8 type = kBitmapTypeDirty;
  unsigned granularity_bits = 16;  // bytes of the disk that one bit stands for
  std::vector<u8> extra;           // kept as it is
  u64 directory_at = 0;            // where in the file its directory entry lies
  u64 table_offset = 0;            // 0: has no place yet
  std::vector<u64> table;          // by clusters of bits
  bool is_held = false;            // "in use" on disk, and by us

  // Left "in use" by somebody who crashed: what it says may be wrong.
  [[nodiscard]] bool is_inconsistent() const { return (flags & kBitmapInUse) != 0 && !is_held; }
  // Whether it is one whose meaning we know.
  [[nodiscard]] bool is_known() const {
    return type == kBitmapTypeDirty && (extra.empty() || (flags & kBitmapExtraIsHarmless) != 0);
  }
  [[nodiscard]] bool records() const { return is_known() && (flags & kBitmapAuto) != 0; }
};

// How many table entries a bitmap of a disk of that size has; at least 1.
[[nodiscard]] u64 bitmap_table_entries(const Header& header, unsigned granularity_bits,
                                       u64 disk_bytes);

// The image's bitmaps; none where the header calls them stale. Everything they lead to lies inside
// the file. Errors: a damaged directory or table, or more than a real image has.
[[nodiscard]] Result<std::vector<Bitmap>> read_bitmaps(ByteFile& file, const Header& header);

// Calls use(disk offset, bytes) for the stretches whose bits are set, in order, cut at the disk's
// end. Errors: the host's.
template <class F>
Result<void> each_set_range(ByteFile& file, const Header& header, const Bitmap& bitmap, F&& use) {
  std::vector<u8> bits(header.cluster_bytes());
  for (u64 i = 0; i < bitmap.table.size(); ++i) {
    const u64 host = bitmap.table[i] & kEntryOffsetMask;
    if (host == 0 && bitmap.table[i] != kBitmapEntryOnes) continue;
    std::fill(bits.begin(), bits.end(), u8{0xff});
    if (host != 0) EMU_TRY(file.read_flat(host, bits));
    for (u64 bit = 0; bit < bits.size() * 8;) {
      const bool is_set = (bits[bit / 8] >> (bit % 8) & 1) != 0;
      const u64 first = bit;
      while (bit < bits.size() * 8 && (bits[bit / 8] >> (bit % 8) & 1) == (is_set ? 1 : 0)) ++bit;
      const u64 start = (i * bits.size() * 8 + first) << bitmap.granularity_bits;
      if (!is_set || start >= header.size_bytes) continue;
      use(start, std::min((bit - first) << bitmap.granularity_bits, header.size_bytes - start));
    }
  }
  return {};
}

class BitmapKeeper {
 public:
  // Both must outlive the keeper and stay where they are; the header may change.
  BitmapKeeper(ByteFile& file, Header& header) : file_(file), header_(header) {}

  // Reads the bitmaps. Errors: as read_bitmaps(); then there are none.
  Result<void> load();
  // Tells which clusters are theirs. False: some belong to another table already.
  [[nodiscard]] bool enter_places(MetadataMap& metadata) const;
  [[nodiscard]] const std::vector<Bitmap>& all() const { return bitmaps_; }
  void forget() { bitmaps_.clear(); }

  enum class Which : u8 { kThatRecord, kAll };
  // Marks consistent ones as "in use" on stable storage, before the disk changes.
  Result<void> hold(Which which);
  // Part of the disk changes. Costs nothing unless some bitmap records.
  void mark(u64 offset, u64 length_bytes);
  // The same for one of all(), whether it records or not; it must be held.
  void mark_in(std::size_t index, u64 offset, u64 length_bytes);
  // Whether so much was marked that store() is due.
  [[nodiscard]] bool is_crowded() const {
    return pending_clusters_ > kMaxPendingBytes / header_.cluster_bytes();
  }
  // Brings the marks to the file.
  Result<void> store(Refcounts& refcounts, MetadataMap& metadata);
  // The bitmaps are consistent again: everything was stored, and the disk no longer changes.
  Result<void> release();
  // Fits held bitmaps to a disk of another size. store() comes first.
  Result<void> resize(u64 disk_bytes, Refcounts& refcounts, MetadataMap& metadata);
  // Writes another directory; tables with table_offset 0 get a place. What nothing leads to any
  // more is freed. store() comes first.
  Result<void> replace(std::vector<Bitmap> wanted, Refcounts& refcounts, MetadataMap& metadata);

 private:
  static constexpr u64 kMaxPendingBytes = 32 * kMiB;
  // By table index; an empty vector: all bits are set.
  using Pending = std::map<u64, std::vector<u8>>;

  void set_bits(Pending& pending, u64 first, u64 end);
  Result<void> store_cluster(u64& entry, const std::vector<u8>& bits, Refcounts& refcounts,
                             MetadataMap& metadata, bool& allocated);
  Result<void> store_tables();
  Result<void> write_flags(const Bitmap& bitmap);
  Result<void> cut_bits(Bitmap& bitmap, u64 disk_bytes);
  Result<void> place_table(Bitmap& bitmap, Refcounts& refcounts);
  Result<void> write_directory(std::vector<Bitmap>& wanted, Refcounts& refcounts, Header& next);
  [[nodiscard]] std::vector<u64> clusters_of(const std::vector<Bitmap>& bitmaps,
                                             const Header& header) const;

  ByteFile& file_;
  Header& header_;
  std::vector<Bitmap> bitmaps_;
  std::mutex mutex_;              // guards what follows
  std::vector<Pending> pending_;  // by bitmap
  std::atomic<u64> pending_clusters_ = 0;
};

}  // namespace emu::qcow2
