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
  auto stored = bitmaps_.store(*refcounts_, metadata_);
  if (stored) stored = bitmaps_.release();
  if (!stored) log(LogLevel::kError, "block", "{}", stored.error().message);
}

// Before the first change: bitmaps that record it are "in use", and autoclear features that we do
// not know describe data that we do not keep up to date.
Result<void> Qcow2Image::prepare_to_write() {
  if (is_corrupt_) return damaged("it was found to be corrupt while running");
  if (prepared_) return {};
  const u64 known = kAutoclearRawData | (bitmaps_.all().empty() ? 0 : kAutoclearBitmaps);
  const u64 kept = header_.autoclear & known;
  if (header_.version >= 3 && header_.autoclear != kept) {
    u8 field[8];
    store_be<u64>(field, kept);
    EMU_TRY(file_->write_flat(kOffAutoclear, field));
    EMU_TRY(file_->flush());
    header_.autoclear = kept;
  }
  EMU_TRY(bitmaps_.hold(BitmapKeeper::Which::kThatRecord));
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
  if (bitmaps_.is_crowded()) {
    const std::unique_lock lock(lock_);
    EMU_TRY(bitmaps_.store(*refcounts_, metadata_));
  }
  PieceCursor cursor(in);
  for (u64 left = total_bytes(in); left != 0;) {
    u64 length = 0;
    if (prepared_ && !is_corrupt_) {  // the common case: overwrite in place
      const std::shared_lock lock(lock_);
      auto extent = find(offset, left);
      if (!extent) return extent.error();
      length = overwritable_bytes(*extent, offset);
      if (length != 0) {
        bitmaps_.mark(offset, length);
        EMU_TRY(data_file().write(extent->host_offset, cursor.take(length)));
      }
    }
    if (length == 0) {
      const std::unique_lock lock(lock_);
      EMU_TRY(prepare_to_write());
      bitmaps_.mark(offset, left);
      auto run = write_new_run(offset, left, cursor);
      if (!run) return run.error();
      length = *run;
      if (length == 0) {
        length = std::min(left, header_.cluster_bytes() - in_cluster(offset));
        EMU_TRY(write_one(offset, cursor.take(length)));
      }
    }
    offset += length;
    left -= length;
  }
  return {};
}

// How much of the extent may be overwritten in place, up to the first cluster that holds a table.
u64 Qcow2Image::overwritable_bytes(const Extent& extent, u64 offset) const {
  if (!extent.in_place) return 0;
  if (data_ != nullptr) return extent.length_bytes;
  u64 length = 0;
  u64 cluster = extent.host_offset >> header_.cluster_bits;
  while (length < extent.length_bytes && !metadata_.contains(cluster++))
    length += header_.cluster_bytes() - in_cluster(offset + length);
  return std::min(length, extent.length_bytes);
}

// Whole clusters that have no place yet, written at once: how many bytes were, perhaps none.
Result<u64> Qcow2Image::write_new_run(u64 offset, u64 max_bytes, PieceCursor& cursor) {
  const u64 cluster_bytes = header_.cluster_bytes();
  if (in_cluster(offset) != 0 || max_bytes < 2 * cluster_bytes) return u64{0};
  EMU_TRY(commit_if_crowded());
  EMU_TRY(own_l2_table(offset));
  auto extent = find(offset, max_bytes);
  if (!extent) return extent.error();
  const u64 wanted = extent->length_bytes / cluster_bytes;
  if (extent->kind != Kind::kUnallocated || extent->entry != Entry{} || wanted < 2) return u64{0};
  u64 count = 0;
  u64 first = 0;
  for (; count < wanted; ++count) {
    if (count != 0) {  // a cluster may be "unallocated" and yet have a place for its subclusters
      auto entry = read_entry(offset + count * cluster_bytes);
      if (!entry) return entry.error();
      if (*entry != Entry{}) break;
    }
    auto host = allocate_data(offset + count * cluster_bytes);
    if (!host && count == 0) return host.error();
    if (!host) break;
    if (count == 0) first = *host;
    if (*host == first + count * cluster_bytes) continue;
    release_data(*host);
    break;
  }
  const u64 length = count * cluster_bytes;
  auto done = data_file().write(first, cursor.take(length));
  for (u64 i = 0; done && i < count; ++i)
    done = set_entry(offset + i * cluster_bytes,
                     {(first + i * cluster_bytes) | kEntryCopied, low_mask(kSubclusters)});
  if (done) return length;
  for (u64 i = 0; i < count; ++i) {
    auto entry = read_entry(offset + i * cluster_bytes);
    if (entry && *entry == Entry{}) release_data(first + i * cluster_bytes);
  }
  return done.error();
}

// Whether the entry's place is its own, so that data may be put there.
bool Qcow2Image::is_owned(const Entry& entry) const {
  if ((entry.word & kEntryCompressed) != 0 || (entry.word & kEntryCopied) == 0) return false;
  return data_ != nullptr || (entry.word & kEntryOffsetMask) != 0;
}

// Writes inside one cluster.
Result<void> Qcow2Image::write_one(u64 offset, Pieces in) {
  EMU_TRY(commit_if_crowded());
  EMU_TRY(own_l2_table(offset));
  auto entry = read_entry(offset);
  if (!entry) return entry.error();
  if (is_owned(*entry)) {
    const u64 host = entry->word & kEntryOffsetMask;
    EMU_TRY(check_data(host));
    if (data_ == nullptr && metadata_.contains(host >> header_.cluster_bits))
      return corrupt(fmt::format("data at {} overlaps a table", host));
    return write_units(*entry, host, offset, in);
  }
  auto target = allocate_data(offset);
  if (!target) return target.error();
  auto written = write_units(*entry, *target, offset, in);
  if (!written) {
    release_data(*target);
    return written;
  }
  free_entry(*entry, false);
  return {};
}

// Puts data into the cluster at `target`, which is the old entry's place or a fresh one. What is
// stored becomes whole units (clusters, or subclusters): those written to, and in a fresh place
// also those that held data before.
Result<void> Qcow2Image::write_units(const Entry& old, u64 target, u64 offset, Pieces in) {
  const u64 unit_bytes = header_.unit_bytes();
  const u64 units = header_.cluster_bytes() / unit_bytes;
  const u64 inside = in_cluster(offset);
  const u64 length = total_bytes(in);
  const bool fresh = !is_owned(old);
  u64 first = inside / unit_bytes;
  u64 last = (inside + length - 1) / unit_bytes;
  u64 stored = 0;
  bool all_stored = !fresh;
  for (u64 i = 0; i < units; ++i) {
    const Kind kind = kind_of(old, i);
    const bool has_data = kind == Kind::kData || kind == Kind::kCompressed;
    const bool is_touched = i >= inside / unit_bytes && i <= (inside + length - 1) / unit_bytes;
    if (has_data || is_touched) stored |= u64{1} << i;
    if (is_touched && !has_data) all_stored = false;
    if (fresh && has_data) {
      first = std::min(first, i);
      last = std::max(last, i);
    }
  }
  if (all_stored) return data_file().write(target + inside, in);
  EMU_TRY(write_filled(target, offset, first * unit_bytes, (last + 1) * unit_bytes, in));
  Entry entry{target | kEntryCopied, 0};
  if (header_.extended_l2())
    entry.bitmap = stored | (old.bitmap & ~(stored << kSubclusters) & ~low_mask(kSubclusters));
  return set_entry(offset, entry);
}

// Writes bytes [from, to) of the cluster to its place at `target`: the old content with `in` laid
// over it.
Result<void> Qcow2Image::write_filled(u64 target, u64 offset, u64 from, u64 to, Pieces in) {
  const u64 inside = in_cluster(offset);
  const u64 length = total_bytes(in);
  const u64 start = offset - inside;
  if (from == inside && to == inside + length) return data_file().write(target + inside, in);
  if (data_ != nullptr) to = std::min(to, size_bytes() - start);
  // Beyond the end of the file the host supplies zeros.
  if (target >= data_file().size_bytes() && data_ == nullptr && crypt_ == nullptr) {
    auto zero = reads_zero(start + from, to - from);
    if (!zero) return zero.error();
    if (*zero) {
      EMU_TRY(file_->grow(target + header_.cluster_bytes()));
      return file_->write(target + inside, in);
    }
  }
  std::vector<u8> bytes(to - from);
  const u64 readable = std::min<u64>(bytes.size(), size_bytes() - start - from);
  const std::span<u8> one[] = {std::span(bytes).first(readable)};
  EMU_TRY(read_mapped(start + from, one));
  copy_from_pieces(in, std::span(bytes).subspan(inside - from));
  EMU_TRY(data_file().write_flat(target + from, bytes));
  if (data_ != nullptr) return {};
  return file_->grow(target + header_.cluster_bytes());
}

// Whether nothing is stored in the range, here or below.
Result<bool> Qcow2Image::reads_zero(u64 offset, u64 length_bytes) {
  const u64 end = std::min(offset + length_bytes, size_bytes());
  while (offset < end) {
    auto extent = find(offset, end - offset);
    if (!extent) return extent.error();
    if (extent->kind != Kind::kZero &&
        (extent->kind != Kind::kUnallocated || shows_backing(offset)))
      return false;
    offset += extent->length_bytes;
  }
  return true;
}

// A place for the cluster of `offset`. In an external data file every cluster has its own.
Result<u64> Qcow2Image::allocate_data(u64 offset) {
  if (data_ != nullptr) return align_down(offset, header_.cluster_bytes());
  auto cluster = refcounts_->allocate();
  if (!cluster) return cluster.error();
  return *cluster << header_.cluster_bits;
}

void Qcow2Image::release_data(u64 host) {
  if (data_ != nullptr) return;
  if (auto undone = refcounts_->release(host >> header_.cluster_bits); !undone)
    log(LogLevel::kWarning, "block", "{}", undone.error().message);
}

// Makes sure that the L2 table for `offset` exists and that no snapshot shares it.
Result<void> Qcow2Image::own_l2_table(u64 offset) {
  u64& entry = l1_[l1_index(offset)];
  const u64 old_table = entry & kEntryOffsetMask;
  if (old_table != 0 && (entry & kEntryCopied) != 0) return {};
  auto cluster = refcounts_->allocate();
  if (!cluster) return cluster.error();
  const u64 table = *cluster << header_.cluster_bits;
  auto made = old_table == 0 ? l2_->start_zeroed(table, header_.cluster_bytes())
                             : copy_table(old_table, table);
  if (made && !metadata_.add(*cluster)) made = damaged("a new L2 table lies on another table");
  if (!made) {
    l2_->forget(table, header_.cluster_bytes());
    if (auto undone = refcounts_->release(*cluster); !undone) return undone.error();
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
  EMU_TRY(l2_->start_zeroed(to, header_.cluster_bytes()));
  std::vector<u8> slice(l2_->slice_bytes());
  for (u64 at = 0; at < header_.cluster_bytes(); at += slice.size()) {
    EMU_TRY(l2_->read(from + at, slice));
    EMU_TRY(l2_->write(to + at, slice));
  }
  return {};
}

Result<void> Qcow2Image::set_entry(u64 offset, const Entry& entry) {
  u8 bytes[kExtendedL2EntryBytes];
  store_be<u64>(bytes, entry.word);
  store_be<u64>(bytes + kEntryBytes, entry.bitmap);
  const u64 table = l1_[l1_index(offset)] & kEntryOffsetMask;
  const u64 entry_bytes = header_.l2_entry_bytes();
  return l2_->write(table + l2_index(offset) * entry_bytes, std::span(bytes).first(entry_bytes));
}

// Queues the clusters that a replaced entry referred to.
void Qcow2Image::free_entry(const Entry& entry, bool give_back) {
  if (data_ != nullptr) return;
  u64 first = entry.word & kEntryOffsetMask;
  u64 end = first + 1;
  if ((entry.word & kEntryCompressed) != 0) {
    const unsigned x = 62 - (header_.cluster_bits - 8);
    unpacked_.clear();  // another one may come to lie there
    first = bits(entry.word, 0, x);
    end = align_down(first, 512) + (bits(entry.word, x, 62 - x) + 1) * 512;
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
    bitmaps_.mark(offset, length_bytes);
    auto extent = find(offset, length_bytes);
    if (!extent) return extent.error();
    u64 n = std::min(length_bytes, cluster_bytes - in_cluster(offset));
    const bool whole =
        n == cluster_bytes || (in_cluster(offset) == 0 && offset + n == size_bytes());
    if (extent->kind == Kind::kUnallocated && !shows_backing(offset) &&
        (extent->entry == Entry{} || !whole)) {
      // Zero already, perhaps a whole L2 table of it.
      n = extent->entry == Entry{} ? extent->length_bytes : std::min(n, extent->length_bytes);
    } else if (!whole) {
      EMU_TRY(header_.extended_l2() ? zero_units(offset, n) : write_zero_bytes(offset, n));
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
  auto old = read_entry(offset);
  if (!old) return old.error();
  if (data_ != nullptr) {  // a raw data file must read the same by itself
    const u64 inside_file = std::min(header_.cluster_bytes(), size_bytes() - offset);
    EMU_TRY(data_->write_zeroes(offset, inside_file));
  }
  Entry entry;
  if (keeps_backing && header_.extended_l2()) entry.bitmap = ~low_mask(kSubclusters);
  if (keeps_backing && !header_.extended_l2()) entry.word = kEntryZero;
  if (*old == entry) return {};
  EMU_TRY(set_entry(offset, entry));
  free_entry(*old, true);
  return {};
}

// Zeros inside one cluster with extended entries: whole subclusters are marked, the rest written.
Result<void> Qcow2Image::zero_units(u64 offset, u64 length_bytes) {
  const u64 unit_bytes = header_.unit_bytes();
  const u64 end = offset + length_bytes;
  const u64 from = std::min(align_up(offset, unit_bytes), end);
  const u64 to = std::max(from, align_down(end, unit_bytes));
  if (offset < from) EMU_TRY(write_zero_bytes(offset, from - offset));
  if (to < end) EMU_TRY(write_zero_bytes(to, end - to));
  if (from == to) return {};
  EMU_TRY(commit_if_crowded());
  EMU_TRY(own_l2_table(offset));
  auto entry = read_entry(offset);
  if (!entry) return entry.error();
  if ((entry->word & kEntryCompressed) != 0) return write_zero_bytes(from, to - from);
  if (data_ != nullptr) EMU_TRY(data_->write_zeroes(from, to - from));
  const u64 mask = low_mask(static_cast<unsigned>((to - from) / unit_bytes))
                   << (in_cluster(from) / unit_bytes);
  entry->bitmap = (entry->bitmap & ~mask) | mask << kSubclusters;
  return set_entry(from, *entry);
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
    const bool metadata_changed = refcounts_->dirty() || l2_->dirty_slices() != 0 ||
                                  l1_dirty_from_ < l1_dirty_to_ || !freed_.empty();
    if (metadata_changed) return commit();
  }
  return data_file().flush();
}

// Keeps dirty metadata and the list of clusters to free bounded.
Result<void> Qcow2Image::commit_if_crowded() {
  const u64 slices_per_table = header_.cluster_bytes() / l2_->slice_bytes();
  const bool crowded = l2_->dirty_slices() + slices_per_table + 1 > l2_->capacity_slices() / 2;
  if (!crowded && freed_.size() < kMaxFreedClusters) return {};
  return commit();
}

// Brings everything to stable storage, in the order that a crash cannot hurt.
Result<void> Qcow2Image::commit() {
  EMU_TRY(refcounts_->commit());
  if (data_ != nullptr) EMU_TRY(data_->flush());
  EMU_TRY(file_->flush());  // the data that new entries will refer to
  if (l2_->dirty_slices() != 0) {
    EMU_TRY(l2_->write_back());
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
  for (const u64 cluster : refcounts_->take_outgrown()) freed_.push_back({cluster, false, true});
  for (const FreedCluster& f : std::exchange(freed_, {})) {
    if (!f.is_table && metadata_.contains(f.cluster)) {
      corrupt(fmt::format("data in cluster {} overlaps a table", f.cluster));
      continue;
    }
    if (f.cluster == packed_at_ >> header_.cluster_bits) packed_at_ = 0;
    auto is_free = refcounts_->release(f.cluster);
    if (!is_free) {
      log(LogLevel::kWarning, "block", "{}", is_free.error().message);  // a leak
      continue;
    }
    if (!*is_free) continue;
    const u64 offset = f.cluster << header_.cluster_bits;
    if (f.is_table) {
      metadata_.remove(f.cluster);
      l2_->forget(offset, header_.cluster_bytes());
    }
    if (!f.give_back) continue;
    if (auto given = file_->discard(offset, header_.cluster_bytes()); !given)
      log(LogLevel::kWarning, "block", "{}", given.error().message);
  }
}

}  // namespace emu::qcow2
