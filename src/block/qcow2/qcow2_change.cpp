// SPDX-License-Identifier: Apache-2.0
// Changes to a whole qcow2 image: its size, its backing file, compressed clusters, emptying it,
// and internal snapshots.
#include <algorithm>
#include <cerrno>
#include <mutex>

#include "base/bits.h"
#include "base/log.h"
#include "block/qcow2/compress.h"
#include "block/qcow2/qcow2_image.h"

namespace emu::qcow2 {
namespace {

// Writes some neighbouring header fields at once; both lie in one sector.
Result<void> write_fields(ByteFile& file, u64 at, u64 first, u64 second, bool second_is_wide) {
  u8 bytes[16];
  if (second_is_wide) {  // u32, u64
    store_be<u32>(bytes, static_cast<u32>(first));
    store_be<u64>(bytes + 4, second);
  } else {  // u64 alone
    store_be<u64>(bytes, first);
  }
  EMU_TRY(file.write_flat(at, std::span(bytes).first(second_is_wide ? 12 : 8)));
  return file.flush();
}

}  // namespace

Result<void> Qcow2Image::resize(u64 new_size) {
  new_size = align_up(new_size, 512);
  const u64 old_size = size_bytes();
  if (new_size < old_size && !header_.snapshots.empty())
    return fail(
        "{} has internal snapshots, which keep its size; delete them first (emu img "
        "snapshot -d)",
        file_->path());
  if (new_size < old_size) EMU_TRY(cut_tail(new_size));
  {
    const std::unique_lock lock(lock_);
    EMU_TRY(prepare_to_write());
    const u64 covers = header_.l2_covers_bytes();
    EMU_TRY(hold_all_bitmaps());
    EMU_TRY(grow_l1(new_size / covers + (new_size % covers != 0 ? 1 : 0)));
    EMU_TRY(commit());
    if (data_ != nullptr) EMU_TRY(data_->grow(new_size));
    EMU_TRY(write_fields(*file_, kOffSize, new_size, 0, false));
    header_.size_bytes = new_size;
    EMU_TRY(bitmaps_.resize(new_size, *refcounts_, metadata_));
  }
  // What a larger backing image holds there must not come to light.
  if (new_size > old_size && shows_backing(old_size))
    return write_zeroes(old_size, std::min(new_size, backing_->size_bytes()) - old_size);
  return {};
}

// Gives back what lies behind the new end; the rest of its last cluster becomes zero.
Result<void> Qcow2Image::cut_tail(u64 new_size) {
  EMU_TRY(write_zeroes(new_size, size_bytes() - new_size));
  if (data_ != nullptr) EMU_TRY(data_->shrink(new_size));
  return flush();
}

Result<void> Qcow2Image::grow_l1(u64 entries) {
  if (entries <= l1_.size()) return {};
  if (entries * kEntryBytes > kMaxL1Bytes)
    return fail_errno(EFBIG, "{} cannot become that large with clusters of {}", file_->path(),
                      size_text(header_.cluster_bytes()));
  EMU_TRY(commit());
  const u64 clusters = header_.clusters_for(entries * kEntryBytes);
  auto first = refcounts_->allocate_in_a_row(clusters);
  if (!first) return first.error();
  std::vector<u8> bytes(clusters << header_.cluster_bits);
  for (u64 i = 0; i < l1_.size(); ++i) store_be<u64>(&bytes[i * kEntryBytes], l1_[i]);
  const u64 offset = *first << header_.cluster_bits;
  EMU_TRY(file_->write_flat(offset, bytes));
  EMU_TRY(refcounts_->commit());
  EMU_TRY(file_->flush());
  EMU_TRY(write_fields(*file_, kOffL1Size, entries, offset, true));
  const u64 old_first = header_.l1_offset >> header_.cluster_bits;
  const u64 old_clusters = header_.clusters_for(u64{header_.l1_entries} * kEntryBytes);
  metadata_.remove_range(old_first);
  for (u64 i = 0; i < old_clusters; ++i) freed_.push_back({old_first + i, true, true});
  metadata_.add_range(*first, clusters);
  header_.l1_offset = offset;
  header_.l1_entries = static_cast<u32>(entries);
  l1_.resize(entries);
  return {};
}

Result<void> Qcow2Image::write_compressed(u64 offset, std::span<const u8> cluster) {
  if (data_ != nullptr)
    return Error{ENOTSUP, fmt::format("{} keeps its data in another file, which cannot hold "
                                      "compressed data",
                                      file_->path())};
  if (crypt_ != nullptr)
    return Error{
        ENOTSUP,
        fmt::format("{} is encrypted, and compressed data would not be; convert without -c",
                    file_->path())};
  const u64 cluster_bytes = header_.cluster_bytes();
  EMU_CHECK(in_cluster(offset) == 0 && cluster.size() <= cluster_bytes);
  std::vector<u8> whole;
  if (cluster.size() < cluster_bytes) {  // the disk's last one
    whole.assign(cluster.begin(), cluster.end());
    whole.resize(cluster_bytes);
  }
  // Packing takes the time, and needs no lock.
  auto packed =
      compress(header_.compression_type, whole.empty() ? cluster : std::span<const u8>(whole));
  if (!packed) return packed.error();
  if (packed->empty()) {  // it does not get smaller
    std::vector<u8> copy(cluster.begin(), cluster.end());
    const std::span<u8> one[] = {copy};
    return write(offset, one);
  }
  const std::unique_lock lock(lock_);
  EMU_TRY(prepare_to_write());
  bitmaps_.mark(offset, cluster.size());
  EMU_TRY(commit_if_crowded());
  EMU_TRY(own_l2_table(offset));
  auto old = read_entry(offset);
  if (!old) return old.error();
  auto host = place_packed(*packed);
  if (!host) return host.error();
  const unsigned x = 62 - (header_.cluster_bits - 8);
  const u64 sectors = ((*host & 511) + packed->size() - 1) / 512;
  EMU_TRY(set_entry(offset, {kEntryCompressed | sectors << x | *host, 0}));
  free_entry(*old, false);
  return {};
}

// Puts a compressed cluster behind the last one, where it may share the host cluster, or into
// fresh clusters. Its place in the file.
Result<u64> Qcow2Image::place_packed(std::span<const u8> packed) {
  const u64 cluster_bytes = header_.cluster_bytes();
  const u64 rest = packed_at_ == 0 ? 0 : cluster_bytes - in_cluster(packed_at_);
  const bool can_share = rest != 0 && in_cluster(packed_at_) != 0;
  u64 host = 0;
  if (can_share && packed.size() <= rest &&
      refcounts_->retain(packed_at_ >> header_.cluster_bits)) {
    host = packed_at_;
  } else {
    auto fresh = refcounts_->allocate();
    if (!fresh) return fresh.error();
    const u64 start = *fresh << header_.cluster_bits;
    const bool follows = can_share && start == align_up(packed_at_, cluster_bytes);
    host = follows && refcounts_->retain(packed_at_ >> header_.cluster_bits) ? packed_at_ : start;
  }
  EMU_TRY(file_->write_flat(host, packed));
  packed_at_ = host + packed.size();
  if (in_cluster(packed_at_) == 0) packed_at_ = 0;
  // The last sector counts as a whole one, and a reader may fetch all of it.
  EMU_TRY(file_->grow(align_up(host + packed.size(), 512)));
  return host;
}

Result<void> Qcow2Image::make_empty() {
  const std::unique_lock lock(lock_);
  EMU_TRY(prepare_to_write());
  for (u64 offset = 0; offset < size_bytes();) {
    const u64 covers = header_.l2_covers_bytes();
    if ((l1_[l1_index(offset)] & kEntryOffsetMask) == 0) {
      offset += covers;
      continue;
    }
    auto entry = read_entry(offset);
    if (!entry) return entry.error();
    if (*entry != Entry{}) {
      EMU_TRY(commit_if_crowded());
      EMU_TRY(own_l2_table(offset));
      EMU_TRY(set_entry(offset, {}));
      free_entry(*entry, true);
    }
    offset += header_.cluster_bytes();
  }
  return commit();
}

Result<void> Qcow2Image::preallocate() {
  const std::unique_lock lock(lock_);
  EMU_TRY(prepare_to_write());
  u64 end = 0;
  for (u64 offset = 0; offset < size_bytes(); offset += header_.cluster_bytes()) {
    EMU_TRY(commit_if_crowded());
    EMU_TRY(own_l2_table(offset));
    auto host = allocate_data(offset);
    if (!host) return host.error();
    // Extended entries can have a place and yet show the backing image.
    EMU_TRY(set_entry(offset, {*host | kEntryCopied, 0}));
    end = *host + header_.cluster_bytes();
  }
  EMU_TRY(data_ != nullptr ? data_->grow(size_bytes()) : file_->grow(end));
  return commit();
}

Result<void> Qcow2Image::change_backing_name(const std::string& name, const std::string& format) {
  const std::unique_lock lock(lock_);
  EMU_TRY(prepare_to_write());
  EMU_TRY(commit());
  auto fresh = read_header(*file_);
  if (!fresh) return fresh.error();
  fresh->backing_file = name;
  fresh->backing_format = format;
  std::erase_if(fresh->extensions,
                [](const Extension& e) { return e.type == kExtensionBackingFormat; });
  if (!name.empty() && !format.empty())
    fresh->extensions.insert(fresh->extensions.begin(),
                             {kExtensionBackingFormat, {format.begin(), format.end()}});
  EMU_TRY(write_header(*file_, *fresh));
  header_ = std::move(*fresh);
  return file_->flush();
}

template <class F>
Result<void> Qcow2Image::change_offline(F&& change) {
  if (data_ != nullptr)
    return Error{ENOTSUP, fmt::format("{} keeps its data in another file, so it cannot have "
                                      "internal snapshots",
                                      file_->path())};
  const std::unique_lock lock(lock_);
  EMU_TRY(prepare_to_write());
  // The second commit brings the counts of clusters that the first one freed.
  EMU_TRY(commit());
  EMU_TRY(commit());
  // A crash meanwhile leaves counts that are too high: the dirty bit has them repaired.
  const u64 marks = header_.incompatible;
  const bool has_dirty_bit = header_.version >= 3;
  if (has_dirty_bit)
    EMU_TRY(write_fields(*file_, kOffIncompatible, marks | kIncompatibleDirty, 0, false));
  auto changed = change(*file_, header_);
  if (changed && has_dirty_bit) changed = write_fields(*file_, kOffIncompatible, marks, 0, false);
  auto reloaded = reload();
  return changed ? reloaded : changed;
}

Result<void> Qcow2Image::reload() {
  auto header = read_header(*file_);
  if (!header) return header.error();
  header_ = std::move(*header);
  freed_.clear();
  packed_at_ = 0;
  l1_dirty_from_ = l1_dirty_to_ = 0;
  unpacked_.clear();
  return load();
}

Result<void> Qcow2Image::make_snapshot(const std::string& name) {
  return change_offline(
      [&](ByteFile& file, const Header& header) { return add_snapshot(file, header, name); });
}

Result<void> Qcow2Image::apply_snapshot(const std::string& tag) {
  {
    const std::unique_lock lock(lock_);
    EMU_TRY(prepare_to_write());
    EMU_TRY(hold_all_bitmaps());
  }
  EMU_TRY(change_offline(
      [&](ByteFile& file, const Header& header) { return revert_to_snapshot(file, header, tag); }));
  const std::unique_lock lock(lock_);
  EMU_TRY(bitmaps_.resize(size_bytes(), *refcounts_, metadata_));
  bitmaps_.mark(0, size_bytes());
  return {};
}

Result<void> Qcow2Image::delete_snapshot(const std::string& tag) {
  return change_offline(
      [&](ByteFile& file, const Header& header) { return remove_snapshot(file, header, tag); });
}

}  // namespace emu::qcow2
