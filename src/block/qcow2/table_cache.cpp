// SPDX-License-Identifier: Apache-2.0
// A bounded write-back cache of table slices.
#include "block/qcow2/table_cache.h"

#include <algorithm>
#include <cstring>

#include "base/bits.h"

namespace emu::qcow2 {

TableCache::TableCache(ByteFile& file, u64 slice_bytes, u64 budget_bytes, WriteBack policy)
    : file_(file),
      slice_bytes_(slice_bytes),
      capacity_(std::max<u64>(budget_bytes / slice_bytes, 8)),
      policy_(policy) {}

Result<void> TableCache::read(u64 offset, std::span<u8> out) {
  const std::lock_guard lock(mutex_);
  auto slice = find_or_load(align_down(offset, slice_bytes_), true);
  if (!slice) return slice.error();
  std::memcpy(out.data(), (*slice)->data.data() + (offset & (slice_bytes_ - 1)), out.size());
  return {};
}

bool TableCache::read_cached(u64 offset, std::span<u8> out) {
  const std::unique_lock lock(mutex_, std::try_to_lock);
  if (!lock) return false;
  const auto it = by_offset_.find(align_down(offset, slice_bytes_));
  if (it == by_offset_.end()) return false;
  slices_.splice(slices_.begin(), slices_, it->second);
  std::memcpy(out.data(), it->second->data.data() + (offset & (slice_bytes_ - 1)), out.size());
  return true;
}

Result<void> TableCache::write(u64 offset, std::span<const u8> in) {
  const std::lock_guard lock(mutex_);
  auto slice = find_or_load(align_down(offset, slice_bytes_), true);
  if (!slice) return slice.error();
  const u64 inside = offset & (slice_bytes_ - 1);
  std::memcpy((*slice)->data.data() + inside, in.data(), in.size());
  mark_dirty(**slice, inside, inside + in.size());
  return {};
}

Result<void> TableCache::start_zeroed(u64 offset, u64 length_bytes) {
  const std::lock_guard lock(mutex_);
  for (u64 at = offset; at < offset + length_bytes; at += slice_bytes_) {
    auto slice = find_or_load(at, false);
    if (!slice) return slice.error();
    std::fill((*slice)->data.begin(), (*slice)->data.end(), u8{0});
    mark_dirty(**slice, 0, slice_bytes_);
  }
  return {};
}

void TableCache::forget(u64 offset, u64 length_bytes) {
  const std::lock_guard lock(mutex_);
  for (u64 at = offset; at < offset + length_bytes; at += slice_bytes_) {
    const auto it = by_offset_.find(at);
    if (it == by_offset_.end()) continue;
    if (it->second->dirty()) --dirty_count_;
    slices_.erase(it->second);
    by_offset_.erase(it);
  }
}

Result<void> TableCache::write_back() {
  const std::lock_guard lock(mutex_);
  if (dirty_count_ == 0) return {};
  for (Slice& slice : slices_) {
    if (slice.dirty()) EMU_TRY(store(slice));
  }
  return {};
}

u64 TableCache::dirty_slices() const {
  const std::lock_guard lock(mutex_);
  return dirty_count_;
}

Result<TableCache::Slice*> TableCache::find_or_load(u64 offset, bool load) {
  if (const auto it = by_offset_.find(offset); it != by_offset_.end()) {
    slices_.splice(slices_.begin(), slices_, it->second);
    return &slices_.front();
  }
  EMU_TRY(make_room());
  Slice fresh;
  fresh.offset = offset;
  fresh.data.resize(slice_bytes_);
  if (load) EMU_TRY(file_.read_flat(offset, fresh.data));
  slices_.push_front(std::move(fresh));
  by_offset_[offset] = slices_.begin();
  return &slices_.front();
}

Result<void> TableCache::make_room() {
  if (slices_.size() < capacity_) return {};
  for (auto it = slices_.end(); it != slices_.begin();) {
    --it;
    if (it->dirty() && policy_ == WriteBack::kOnlyWhenTold) continue;
    if (it->dirty()) EMU_TRY(store(*it));
    by_offset_.erase(it->offset);
    it = slices_.erase(it);
    if (slices_.size() < capacity_) return {};
  }
  return {};
}

Result<void> TableCache::store(Slice& slice) {
  const auto part =
      std::span<const u8>(slice.data).subspan(slice.dirty_from, slice.dirty_to - slice.dirty_from);
  EMU_TRY(file_.write_flat(slice.offset + slice.dirty_from, part));
  slice.dirty_from = slice.dirty_to = 0;
  --dirty_count_;
  return {};
}

void TableCache::mark_dirty(Slice& slice, u64 from, u64 to) {
  if (!slice.dirty()) {
    ++dirty_count_;
    slice.dirty_from = from;
    slice.dirty_to = to;
    return;
  }
  slice.dirty_from = std::min(slice.dirty_from, from);
  slice.dirty_to = std::max(slice.dirty_to, to);
}

}  // namespace emu::qcow2
