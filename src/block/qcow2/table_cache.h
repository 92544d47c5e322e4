// SPDX-License-Identifier: Apache-2.0
// A bounded write-back cache of slices of on-disk tables (L2 tables, refcount blocks).
// Threads: any; each call is atomic.
#pragma once

#include <list>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "block/byte_file.h"

namespace emu::qcow2 {

class TableCache {
 public:
  // When a dirty slice may reach the file.
  enum class WriteBack : u8 {
    kAnyTime,       // to make room
    kOnlyWhenTold,  // in write_back() alone; too many dirty slices exceed the budget instead
  };

  // `slice_bytes` is a power of two of at most a cluster, so that a slice lies in one table.
  TableCache(ByteFile& file, u64 slice_bytes, u64 budget_bytes, WriteBack policy);

  // [offset, offset + size) must lie inside one slice. Errors: the host's.
  Result<void> read(u64 offset, std::span<u8> out);
  // As read(), if the slice is here and nobody holds the cache.
  [[nodiscard]] bool read_cached(u64 offset, std::span<u8> out);
  Result<void> write(u64 offset, std::span<const u8> in);
  // Makes the slices of a new table: zero and dirty, whatever the file holds there.
  Result<void> start_zeroed(u64 offset, u64 length_bytes);
  // Drops slices without writing them: the table is gone.
  void forget(u64 offset, u64 length_bytes);
  // Writes every dirty slice. Slices that could not be written stay dirty.
  Result<void> write_back();
  [[nodiscard]] u64 slice_bytes() const { return slice_bytes_; }
  [[nodiscard]] u64 capacity_slices() const { return capacity_; }
  [[nodiscard]] u64 dirty_slices() const;

 private:
  struct Slice {
    u64 offset = 0;
    std::vector<u8> data;
    u64 dirty_from = 0;  // bytes in the slice; clean if from >= to
    u64 dirty_to = 0;
    [[nodiscard]] bool dirty() const { return dirty_from < dirty_to; }
  };
  using List = std::list<Slice>;  // most recently used first

  Result<Slice*> find_or_load(u64 offset, bool load);
  Result<void> make_room();
  Result<void> store(Slice& slice);
  void mark_dirty(Slice& slice, u64 from, u64 to);

  ByteFile& file_;
  u64 slice_bytes_;
  u64 capacity_;
  WriteBack policy_;
  mutable std::mutex mutex_;
  List slices_;
  std::unordered_map<u64, List::iterator> by_offset_;
  u64 dirty_count_ = 0;
};

}  // namespace emu::qcow2
