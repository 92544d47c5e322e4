// SPDX-License-Identifier: Apache-2.0
// Changing a qcow2 image: allocation, copy on write, zeroing, and the order of metadata.
#include <algorithm>
#include <cerrno>
#include <mutex>

#include "base/bits.h"
#include "base/log.h"
#include "block/qcow2/qcow2_image.h"

namespace emu::qcow2 {
namespace {

constexpr std::size_t kMaxFreedClusters = 65536;

}  // namespace

Qcow2Image::~Qcow2Image() {
  if (read_only() || !prepared_ || is_corrupt_) return;
  // The second commit brings the counts of clusters that the first one freed.
  for (int pass = 0; pass < 2; ++pass) {
    if (auto done = commit(); !done) {
      log(LogLevel::kError, "block", "{}", done.error().message);
      return;
    }
  }
}

// Before the first change: autoclear features describe data that we do not keep up to date.
Result<void> Qcow2Image::prepare_to_write() {
  if (is_corrupt_) return damaged("it was found to be corrupt while running");
  if (prepared_) return {};
  if (header_.version >= 3 && header_.autoclear != 0) {
    EMU_TRY(file_->write_flat(kOffAutoclear, std::vector<u8>(8)));
    EMU_TRY(file_->flush());
    header_.autoclear = 0;
  }
  prepared_ = true;
  return {};
}

// Stops all further changes, and tells later users of the image.
Error Qcow2Image::corrupt(const std::string& what) {
  const Error error = damaged("{}", what);
  if (!is_corrupt_.exchange(true)) {
    log(LogLevel::kError, "block", "{}", error.message);
    if (header_.version >= 3) {
      u8 field[8];
      store_be<u64>(field, header_.incompatible | kIncompatibleCorrupt);
      if (auto written = file_->write_flat(kOffIncompatible, field); !written)
        log(LogLevel::kError, "block", "{}", written.error().message);
    }
  }
  return error;
}

Result<void> Qcow2Image::write(u64 offset, Pieces in) {
  PieceCursor cursor(in);
  for (u64 left = total_bytes(in); left != 0;) {
    u64 length = 0;
    if (prepared_ && !is_corrupt_) {  // the common case: overwrite in place
      const std::shared_lock lock(lock_);
      auto extent = find(offset, left);
      if (!extent) return extent.error();
      length = overwritable_bytes(*extent, offset);
      if (length != 0) EMU_TRY(file_->write(extent->host_offset, cursor.take(length)));
    }
    if (length == 0) {
      const std::unique_lock lock(lock_);
      EMU_TRY(prepare_to_write());
      length = std::min(left, header_.cluster_bytes() - in_cluster(offset));
      EMU_TRY(write_one(offset, cursor.take(length)));
    }
    offset += length;
    left -= length;
  }
  return {};
}

// How much of the extent may be overwritten in place, up to the first cluster that holds a table.
u64 Qcow2Image::overwritable_bytes(const Extent& extent, u64 offset) const {
  if (!extent.in_place) return 0;
  u64 length = 0;
  u64 cluster = extent.host_offset >> header_.cluster_bits;
  while (length < extent.length_bytes && !metadata_.contains(cluster++))
    length += header_.cluster_bytes() - in_cluster(offset + length);
  return std::min(length, extent.length_bytes);
}

// Writes inside one cluster.
Result<void> Qcow2Image::write_one(u64 offset, Pieces in) {
  EMU_TRY(commit_if_crowded());
  EMU_TRY(own_l2_table(offset));
  auto extent = find(offset, total_bytes(in));
  if (!extent) return extent.error();
  if (!extent->in_place) return write_new_cluster(*extent, offset, in);
  if (metadata_.contains(extent->host_offset >> header_.cluster_bits))
    return corrupt(fmt::format("data at {} overlaps a table", extent->host_offset));
  return file_->write(extent->host_offset, in);
}

Result<void> Qcow2Image::write_new_cluster(const Extent& old, u64 offset, Pieces in) {
  const u64 preallocated = old.entry & kEntryOffsetMask;
  if (old.kind == Kind::kZero && preallocated != 0 && (old.entry & kEntryCopied) != 0) {
    EMU_TRY(check_data(preallocated));
    if (metadata_.contains(preallocated >> header_.cluster_bits))
      return corrupt(fmt::format("data at {} overlaps a table", preallocated));
    EMU_TRY(fill_cluster(preallocated, true, old, offset, in));
    return set_entry(offset, preallocated | kEntryCopied);
  }
  auto cluster = refcounts_.allocate();
  if (!cluster) return cluster.error();
  const u64 target = *cluster << header_.cluster_bits;
  const bool is_stale = target < file_->size_bytes();
  auto written = fill_cluster(target, is_stale, old, offset, in);
  if (written) written = set_entry(offset, target | kEntryCopied);
  if (!written) {
    if (auto undone = refcounts_.release(*cluster); !undone)
      log(LogLevel::kWarning, "block", "{}", undone.error().message);
    return written;
  }
  free_entry(old.entry, false);
  return {};
}

// Gives the host cluster at `target` the old content with `in` laid over it. Not stale: it lies
// beyond the end of the file, where the host supplies zeros.
Result<void> Qcow2Image::fill_cluster(u64 target, bool is_stale, const Extent& old, u64 offset,
                                      Pieces in) {
  const u64 inside = in_cluster(offset);
  const u64 length = total_bytes(in);
  const u64 start = offset - inside;
  if (length == header_.cluster_bytes()) return file_->write(target, in);
  const bool was_zero =
      old.kind == Kind::kZero || (old.kind == Kind::kUnallocated && !shows_backing(start));
  if (was_zero && !is_stale) {
    EMU_TRY(file_->grow(target + header_.cluster_bytes()));
    return file_->write(target + inside, in);
  }
  std::vector<u8> cluster(header_.cluster_bytes());
  if (!was_zero) {
    Extent whole = old;
    whole.host_offset -= inside;
    const std::span<u8> one[] = {cluster};
    EMU_TRY(read_extent(whole, start, one));
  }
  copy_from_pieces(in, std::span(cluster).subspan(inside));
  return file_->write_flat(target, cluster);
}

// Makes sure that the L2 table for `offset` exists and that no snapshot shares it.
Result<void> Qcow2Image::own_l2_table(u64 offset) {
  u64& entry = l1_[l1_index(offset)];
  const u64 old_table = entry & kEntryOffsetMask;
  if (old_table != 0 && (entry & kEntryCopied) != 0) return {};
  auto cluster = refcounts_.allocate();
  if (!cluster) return cluster.error();
  const u64 table = *cluster << header_.cluster_bits;
  auto made = old_table == 0 ? l2_.start_zeroed(table, header_.cluster_bytes())
                             : copy_table(old_table, table);
  if (made && !metadata_.add(*cluster)) made = damaged("a new L2 table lies on another table");
  if (!made) {
    l2_.forget(table, header_.cluster_bytes());
    if (auto undone = refcounts_.release(*cluster); !undone) return undone.error();
    return made;
  }
  if (old_table != 0) freed_.push_back({old_table >> header_.cluster_bits, true, false});
  entry = table | kEntryCopied;
  const u64 i = l1_index(offset);
  const bool clean = l1_dirty_from_ >= l1_dirty_to_;
  l1_dirty_from_ = clean ? i : std::min(l1_dirty_from_, i);
  l1_dirty_to_ = clean ? i + 1 : std::max(l1_dirty_to_, i + 1);
  return {};
}

// The data clusters' counts already include the snapshot's reference, so entries lose nothing but
// need no change either: their "copied" flags are clear.
Result<void> Qcow2Image::copy_table(u64 from, u64 to) {
  EMU_TRY(l2_.start_zeroed(to, header_.cluster_bytes()));
  std::vector<u8> slice(l2_.slice_bytes());
  for (u64 at = 0; at < header_.cluster_bytes(); at += slice.size()) {
    EMU_TRY(l2_.read(from + at, slice));
    EMU_TRY(l2_.write(to + at, slice));
  }
  return {};
}

Result<void> Qcow2Image::set_entry(u64 offset, u64 entry) {
  u8 bytes[8];
  store_be<u64>(bytes, entry);
  const u64 table = l1_[l1_index(offset)] & kEntryOffsetMask;
  return l2_.write(table + l2_index(offset) * kEntryBytes, bytes);
}

// Queues the clusters that a replaced entry referred to.
void Qcow2Image::free_entry(u64 entry, bool give_back) {
  u64 first = entry & kEntryOffsetMask;
  u64 end = first + 1;
  if (kind_of(entry) == Kind::kCompressed) {
    const unsigned x = 62 - (header_.cluster_bits - 8);
    first = bits(entry, 0, x);
    end = align_down(first, 512) + (bits(entry, x, 62 - x) + 1) * 512;
  } else if (first == 0) {
    return;
  }
  for (u64 c = first >> header_.cluster_bits; c <= (end - 1) >> header_.cluster_bits; ++c)
    freed_.push_back({c, false, give_back});
}

Result<void> Qcow2Image::discard(u64 offset, u64 length_bytes) {
  // Only whole clusters can be given back.
  const u64 cluster_bytes = header_.cluster_bytes();
  const u64 end = offset + length_bytes;
  const u64 first = align_up(offset, cluster_bytes);
  const u64 last = end == size_bytes() ? end : align_down(end, cluster_bytes);
  if (first >= last) return {};
  return zero_range(first, last - first, ZeroMode::kMayKeep);
}

Result<void> Qcow2Image::write_zeroes(u64 offset, u64 length_bytes) {
  return zero_range(offset, length_bytes, ZeroMode::kMustReadZero);
}

Result<void> Qcow2Image::zero_range(u64 offset, u64 length_bytes, ZeroMode mode) {
  const u64 cluster_bytes = header_.cluster_bytes();
  while (length_bytes != 0) {
    const std::unique_lock lock(lock_);
    EMU_TRY(prepare_to_write());
    auto extent = find(offset, length_bytes);
    if (!extent) return extent.error();
    u64 n = std::min(length_bytes, cluster_bytes - in_cluster(offset));
    const bool whole =
        n == cluster_bytes || (in_cluster(offset) == 0 && offset + n == size_bytes());
    if (extent->kind == Kind::kUnallocated && !shows_backing(offset)) {
      n = extent->length_bytes;  // zero already, perhaps a whole L2 table of it
    } else if (!whole) {
      EMU_TRY(write_zero_bytes(offset, n));
    } else {
      EMU_TRY(zero_cluster(offset, mode));
    }
    offset += n;
    length_bytes -= n;
  }
  return {};
}

Result<void> Qcow2Image::zero_cluster(u64 offset, ZeroMode mode) {
  const bool has_zero_flag = header_.version >= 3;
  const bool keeps_backing = shows_backing(offset);
  if (!has_zero_flag && keeps_backing) {
    if (mode == ZeroMode::kMayKeep) return {};
    return write_zero_bytes(offset, std::min(header_.cluster_bytes(), size_bytes() - offset));
  }
  EMU_TRY(commit_if_crowded());
  EMU_TRY(own_l2_table(offset));
  auto extent = find(offset, 1);
  if (!extent) return extent.error();
  const u64 entry = keeps_backing ? kEntryZero : 0;
  if (extent->entry == entry) return {};
  EMU_TRY(set_entry(offset, entry));
  free_entry(extent->entry, true);
  return {};
}

Result<void> Qcow2Image::write_zero_bytes(u64 offset, u64 length_bytes) {
  std::vector<u8> zeros(length_bytes);
  const std::span<u8> one[] = {zeros};
  return write_one(offset, one);
}

Result<void> Qcow2Image::flush() {
  if (read_only()) return {};
  {
    const std::unique_lock lock(lock_);
    const bool metadata_changed = refcounts_.dirty() || l2_.dirty_slices() != 0 ||
                                  l1_dirty_from_ < l1_dirty_to_ || !freed_.empty();
    if (metadata_changed) return commit();
  }
  return file_->flush();
}

// Keeps dirty metadata and the list of clusters to free bounded.
Result<void> Qcow2Image::commit_if_crowded() {
  const u64 slices_per_table = header_.cluster_bytes() / l2_.slice_bytes();
  const bool crowded = l2_.dirty_slices() + slices_per_table + 1 > l2_.capacity_slices() / 2;
  if (!crowded && freed_.size() < kMaxFreedClusters) return {};
  return commit();
}

// Brings everything to stable storage, in the order that a crash cannot hurt.
Result<void> Qcow2Image::commit() {
  EMU_TRY(refcounts_.commit());
  EMU_TRY(file_->flush());  // the data that new entries will refer to
  if (l2_.dirty_slices() != 0) {
    EMU_TRY(l2_.write_back());
    EMU_TRY(file_->flush());
  }
  if (l1_dirty_from_ < l1_dirty_to_) {
    EMU_TRY(write_l1());
    EMU_TRY(file_->flush());
  }
  free_unreferenced();
  return {};
}

Result<void> Qcow2Image::write_l1() {
  std::vector<u8> bytes((l1_dirty_to_ - l1_dirty_from_) * kEntryBytes);
  for (u64 i = l1_dirty_from_; i < l1_dirty_to_; ++i)
    store_be<u64>(&bytes[(i - l1_dirty_from_) * kEntryBytes], l1_[i]);
  EMU_TRY(file_->write_flat(header_.l1_offset + l1_dirty_from_ * kEntryBytes, bytes));
  l1_dirty_from_ = l1_dirty_to_ = 0;
  return {};
}

// After a commit nothing on stable storage refers to these any more.
void Qcow2Image::free_unreferenced() {
  for (const u64 cluster : refcounts_.take_outgrown()) freed_.push_back({cluster, false, true});
  for (const FreedCluster& f : std::exchange(freed_, {})) {
    if (!f.is_table && metadata_.contains(f.cluster)) {
      corrupt(fmt::format("data in cluster {} overlaps a table", f.cluster));
      continue;
    }
    auto is_free = refcounts_.release(f.cluster);
    if (!is_free) {
      log(LogLevel::kWarning, "block", "{}", is_free.error().message);  // a leak
      continue;
    }
    if (!*is_free) continue;
    const u64 offset = f.cluster << header_.cluster_bits;
    if (f.is_table) {
      metadata_.remove(f.cluster);
      l2_.forget(offset, header_.cluster_bytes());
    }
    if (!f.give_back) continue;
    if (auto given = file_->discard(offset, header_.cluster_bytes()); !given)
      log(LogLevel::kWarning, "block", "{}", given.error().message);
  }
}

}  // namespace emu::qcow2
