// SPDX-License-Identifier: Apache-2.0
// Reference counts of host clusters.
#include "block/qcow2/refcounts.h"

#include <algorithm>
#include <cerrno>

#include "base/bits.h"

namespace emu::qcow2 {
namespace {

constexpr u64 kCacheBytes = 2 * kMiB;
constexpr u64 kSliceBytes = 16 * kKiB;
constexpr u64 kScanBytes = 512;  // divides every slice and cluster

}  // namespace

Refcounts::Refcounts(ByteFile& file, const Header& header, MetadataMap& metadata)
    : file_(file),
      metadata_(metadata),
      cluster_bits_(header.cluster_bits),
      order_(header.refcount_order),
      entries_per_block_((header.cluster_bytes() * 8) >> header.refcount_order),
      table_offset_(header.refcount_table_offset),
      table_clusters_(header.refcount_table_clusters),
      cache_(file, std::min(kSliceBytes, header.cluster_bytes()), kCacheBytes,
             TableCache::WriteBack::kAnyTime) {}

Result<void> Refcounts::load() {
  std::vector<u8> bytes(table_clusters_ << cluster_bits_);
  EMU_TRY(file_.read_flat(table_offset_, bytes));
  table_.resize(bytes.size() / kEntryBytes);
  const u64 cluster_bytes = u64{1} << cluster_bits_;
  for (u64 i = 0; i < table_.size(); ++i) {
    const u64 offset = load_be<u64>(&bytes[i * kEntryBytes]) & kRefcountTableMask;
    table_[i] = offset;
    if (offset == 0) continue;
    if (offset % cluster_bytes != 0 || !range_fits(offset, 1, file_.size_bytes()))
      return fail("refcount block {} at {} is outside the file", i, offset);
    if (!metadata_.add(offset >> cluster_bits_))
      return fail("refcount block {} at {} overlaps another table", i, offset);
  }
  return {};
}

u64 Refcounts::max_count() const {
  return low_mask(1u << order_);
}

u64 Refcounts::end_of_counts() const {
  const auto last = std::find_if(table_.rbegin(), table_.rend(), [](u64 e) { return e != 0; });
  return static_cast<u64>(table_.rend() - last) * entries_per_block_;
}

u64 Refcounts::decode(const u8* bytes, u64 cluster) const {
  switch (order_) {
    case 3:
      return *bytes;
    case 4:
      return load_be<u16>(bytes);
    case 5:
      return load_be<u32>(bytes);
    case 6:
      return load_be<u64>(bytes);
    default: {  // below a byte: the least significant bits come first
      const unsigned shift = static_cast<unsigned>((cluster << order_) & 7);
      return bits(*bytes, shift, 1u << order_);
    }
  }
}

void Refcounts::encode(u8* bytes, u64 cluster, u64 count) const {
  switch (order_) {
    case 3:
      *bytes = static_cast<u8>(count);
      return;
    case 4:
      return store_be<u16>(bytes, static_cast<u16>(count));
    case 5:
      return store_be<u32>(bytes, static_cast<u32>(count));
    case 6:
      return store_be<u64>(bytes, count);
    default: {
      const unsigned shift = static_cast<unsigned>((cluster << order_) & 7);
      const u64 mask = low_mask(1u << order_) << shift;
      *bytes = static_cast<u8>((*bytes & ~mask) | (count << shift));
    }
  }
}

Result<u64> Refcounts::read_entry(u64 cluster) {
  u8 bytes[8];
  const std::size_t width = std::max<std::size_t>((std::size_t{1} << order_) / 8, 1);
  const u64 at = table_[cluster / entries_per_block_] + byte_of(cluster);
  EMU_TRY(cache_.read(at, std::span(bytes).first(width)));
  return decode(bytes, cluster);
}

Result<void> Refcounts::write_entry(u64 cluster, u64 count) {
  u8 bytes[8];
  const std::size_t width = std::max<std::size_t>((std::size_t{1} << order_) / 8, 1);
  const u64 at = table_[cluster / entries_per_block_] + byte_of(cluster);
  const auto entry = std::span(bytes).first(width);
  EMU_TRY(cache_.read(at, entry));
  encode(bytes, cluster, count);
  return cache_.write(at, entry);
}

Result<u64> Refcounts::count(u64 cluster) {
  const u64 block = cluster / entries_per_block_;
  if (block >= table_.size() || table_[block] == 0) return u64{0};
  return read_entry(cluster);
}

Result<u64> Refcounts::allocate() {
  for (;;) {
    auto found = find_free(search_from_);
    if (!found) return found;
    const u64 cluster = *found;
    if (cluster >= kMaxFileBytes >> cluster_bits_)
      return fail_errno(EFBIG, "{} cannot grow further", file_.path());
    if (metadata_.contains(cluster)) {
      return Error{EIO, fmt::format("{} is damaged: cluster {} holds a table but counts as free",
                                    file_.path(), cluster)};
    }
    const u64 block = cluster / entries_per_block_;
    if (block >= table_.size()) {
      EMU_TRY(grow_table(block));
    } else if (table_[block] == 0) {
      EMU_TRY(make_block(block, cluster));
    } else {
      EMU_TRY(write_entry(cluster, 1));
      search_from_ = cluster + 1;
      return cluster;
    }
  }
}

// The first cluster from `from` on whose count is 0; clusters without a block count as free.
Result<u64> Refcounts::find_free(u64 from) {
  const u64 entries_per_scan = (kScanBytes * 8) >> order_;
  u8 bytes[kScanBytes];
  for (u64 cluster = from;;) {
    const u64 block = cluster / entries_per_block_;
    if (block >= table_.size() || table_[block] == 0) return cluster;
    const u64 start = align_down(cluster, entries_per_scan);
    EMU_TRY(cache_.read(table_[block] + byte_of(start), bytes));
    for (; cluster < start + entries_per_scan; ++cluster) {
      if (decode(bytes + byte_of(cluster) % kScanBytes, cluster) == 0) return cluster;
    }
  }
}

// Makes the missing refcount block number `block` at `cluster`, which must be free and either be
// described by that block itself or already counted.
Result<void> Refcounts::make_block(u64 block, u64 cluster) {
  const u64 offset = cluster << cluster_bits_;
  EMU_TRY(cache_.start_zeroed(offset, u64{1} << cluster_bits_));
  table_[block] = offset;
  if (!metadata_.add(cluster)) return Error{EIO, "a new refcount block lies on another table"};
  dirty_first_ = table_dirty_ ? std::min(dirty_first_, block) : block;
  dirty_last_ = table_dirty_ ? std::max(dirty_last_, block) : block;
  table_dirty_ = true;
  if (cluster / entries_per_block_ == block) EMU_TRY(write_entry(cluster, 1));
  return {};
}

// Moves to a larger table that covers `block`. The new table and the blocks describing it lie where
// the old coverage ends, so that nothing can be there; the header is switched over last.
Result<void> Refcounts::grow_table(u64 block) {
  EMU_TRY(commit());
  const u64 old_entries = table_.size();
  const u64 cluster_bytes = u64{1} << cluster_bits_;
  const u64 end_of_file = (file_.size_bytes() + cluster_bytes - 1) >> cluster_bits_;
  const u64 first_block = std::max(old_entries, end_of_file / entries_per_block_ + 1);
  auto clusters = larger_table_clusters(std::max(block, first_block));
  if (!clusters) return clusters.error();
  table_.resize(*clusters * (cluster_bytes / kEntryBytes));
  const u64 first = first_block * entries_per_block_;
  if (auto written = write_new_table(first, *clusters); !written) {
    abandon_blocks(old_entries);
    return written;
  }
  const u64 old_first = table_offset_ >> cluster_bits_;
  for (u64 i = 0; i < table_clusters_; ++i) outgrown_.push_back(old_first + i);
  metadata_.remove_range(old_first);
  metadata_.add_range(first, *clusters);
  table_offset_ = first << cluster_bits_;
  table_clusters_ = *clusters;
  table_dirty_ = false;
  return file_.flush();
}

// The size of a table that has room for `block`, for itself and for some growth.
Result<u64> Refcounts::larger_table_clusters(u64 block) const {
  const u64 cluster_bytes = u64{1} << cluster_bits_;
  const u64 entries_per_cluster = cluster_bytes / kEntryBytes;
  const u64 limit = std::max(kMaxRefcountTableBytes, cluster_bytes) >> cluster_bits_;
  u64 entries = std::max(block + 2, table_.size() + table_.size() / 2);
  for (;;) {
    const u64 clusters = std::min(entries / entries_per_cluster + 1, limit);
    // The table, and the blocks that describe it and each other.
    const u64 needed = block + 3 + 2 * clusters / entries_per_block_;
    if (needed <= clusters * entries_per_cluster) return clusters;
    if (clusters == limit)
      return fail_errno(EFBIG, "{} cannot grow further: its refcount table is full", file_.path());
    entries = needed;
  }
}

// Counts and writes the table (already in table_) at cluster `first` and points the header to it.
Result<void> Refcounts::write_new_table(u64 first, u64 clusters) {
  u64 place = first + clusters;
  for (u64 i = 0; i < clusters; ++i) EMU_TRY(set(first + i, 1, place));
  EMU_TRY(cache_.write_back());
  std::vector<u8> bytes(clusters << cluster_bits_);
  for (u64 i = 0; i < table_.size(); ++i) store_be<u64>(&bytes[i * kEntryBytes], table_[i]);
  const u64 offset = first << cluster_bits_;
  EMU_TRY(file_.write_flat(offset, bytes));
  EMU_TRY(file_.flush());
  u8 pointer[12];  // both fields lie in one sector and are written at once
  store_be<u64>(pointer, offset);
  store_be<u32>(pointer + 8, static_cast<u32>(clusters));
  return file_.write_flat(kOffRefcountTableOffset, pointer);
}

// Forgets the blocks of a larger table that could not be written.
void Refcounts::abandon_blocks(u64 old_entries) {
  for (u64 i = old_entries; i < table_.size(); ++i) {
    if (table_[i] == 0) continue;
    metadata_.remove(table_[i] >> cluster_bits_);
    cache_.forget(table_[i], u64{1} << cluster_bits_);
  }
  table_.resize(old_entries);
  table_dirty_ = false;
}

Result<u64> Refcounts::allocate_in_a_row(u64 clusters) {
  if (clusters == 1) return allocate();
  const u64 cluster_bytes = u64{1} << cluster_bits_;
  const u64 end_of_file = (file_.size_bytes() + cluster_bytes - 1) >> cluster_bits_;
  const u64 first = std::max(end_of_file, end_of_counts());
  u64 place = first + clusters;
  const u64 search_from = search_from_;
  for (u64 i = 0; i < clusters; ++i) EMU_TRY(set(first + i, 1, place));
  search_from_ = search_from;
  return first;
}

Result<void> Refcounts::retain(u64 cluster) {
  auto now = count(cluster);
  if (!now) return now.error();
  if (*now == 0)
    return Error{EIO, fmt::format("{} is damaged: cluster {} is used but counts as free",
                                  file_.path(), cluster)};
  if (*now >= max_count())
    return Error{ERANGE, fmt::format("{} counts references in {} bits, which allows no more than "
                                     "{}; convert it with -o refcount_bits=16",
                                     file_.path(), 1u << order_, max_count())};
  return write_entry(cluster, *now + 1);
}

Result<bool> Refcounts::release(u64 cluster) {
  auto now = count(cluster);
  if (!now) return now.error();
  if (*now == 0) return false;
  EMU_TRY(write_entry(cluster, *now - 1));
  if (*now != 1) return false;
  search_from_ = std::min(search_from_, cluster);
  return true;
}

Result<void> Refcounts::set(u64 cluster, u64 count, u64& place) {
  const u64 block = cluster / entries_per_block_;
  if (block >= table_.size()) EMU_TRY(grow_table(block));
  if (table_[block] == 0) {
    if (count == 0) return {};
    EMU_TRY(make_block_at(block, place));
  }
  search_from_ = 0;
  return write_entry(cluster, count);
}

// Makes the missing block `block` at the first place where its own count can be kept.
Result<void> Refcounts::make_block_at(u64 block, u64& place) {
  while (table_[block] == 0) {
    while (metadata_.contains(place)) ++place;
    const u64 home = place++;
    const u64 home_block = home / entries_per_block_;
    if (home_block >= table_.size()) EMU_TRY(grow_table(home_block));
    if (table_[home_block] == 0) {
      EMU_TRY(make_block(home_block, home));  // describes itself
      continue;
    }
    EMU_TRY(write_entry(home, 1));
    EMU_TRY(make_block(block, home));
  }
  return {};
}

Result<void> Refcounts::commit() {
  if (!dirty()) return {};
  EMU_TRY(cache_.write_back());
  if (table_dirty_) {
    EMU_TRY(file_.flush());  // a block must be there before the table points to it
    EMU_TRY(write_table_entries());
  }
  return file_.flush();
}

Result<void> Refcounts::write_table_entries() {
  std::vector<u8> bytes((dirty_last_ - dirty_first_ + 1) * kEntryBytes);
  for (u64 i = dirty_first_; i <= dirty_last_; ++i)
    store_be<u64>(&bytes[(i - dirty_first_) * kEntryBytes], table_[i]);
  EMU_TRY(file_.write_flat(table_offset_ + dirty_first_ * kEntryBytes, bytes));
  table_dirty_ = false;
  return {};
}

}  // namespace emu::qcow2
