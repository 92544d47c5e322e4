// SPDX-License-Identifier: Apache-2.0
// Reference counts of host clusters, and the allocator on top of them.
// Source: qcow2 spec: host cluster management.
// Crash order: increments reach the file in commit(), before anything refers to the cluster;
// release() is called only after the reference is gone from stable storage. What a crash can leave
// behind is a leaked cluster, never one that is used but free.
// Threads: guarded by the image's lock, except count().
#pragma once

#include "block/qcow2/metadata_map.h"
#include "block/qcow2/qcow2_header.h"
#include "block/qcow2/table_cache.h"

namespace emu::qcow2 {

class Refcounts {
 public:
  Refcounts(ByteFile& file, const Header& header, MetadataMap& metadata);

  // Reads and checks the refcount table. Errors: a block outside the file, or two entries for one.
  Result<void> load();
  // A cluster's count; 0 beyond the table.
  Result<u64> count(u64 cluster);
  // Takes a free cluster and sets its count to 1; returns its number. Errors: the host's, EFBIG,
  // EIO if the free cluster is live metadata (a damaged image).
  Result<u64> allocate();
  // Takes `clusters` free ones in a row, behind everything in use; the first one's number.
  Result<u64> allocate_in_a_row(u64 clusters);
  // Adds one reference to a cluster that has some. Errors: ERANGE if the width of the counts does
  // not allow one more.
  Result<void> retain(u64 cluster);
  // Subtracts one reference; true when none is left. A count of 0 stays.
  Result<bool> release(u64 cluster);
  // Sets a count outright (repair); blocks that are missing are made at or after `place`, a cluster
  // number behind everything in use, which advances.
  Result<void> set(u64 cluster, u64 count, u64& place);
  // Brings all counts to stable storage. Afterwards references may be written.
  Result<void> commit();
  [[nodiscard]] bool dirty() const { return table_dirty_ || cache_.dirty_slices() != 0; }

  [[nodiscard]] u64 max_count() const;
  // No cluster from this one on has a count other than 0.
  [[nodiscard]] u64 end_of_counts() const;
  [[nodiscard]] const std::vector<u64>& table() const { return table_; }
  // Clusters of an outgrown table, to be released once commit() has succeeded; call takes them.
  [[nodiscard]] std::vector<u64> take_outgrown() { return std::exchange(outgrown_, {}); }

 private:
  Result<u64> read_entry(u64 cluster);
  Result<void> write_entry(u64 cluster, u64 count);
  Result<u64> find_free(u64 from);
  Result<void> make_block(u64 block, u64 cluster);
  Result<void> make_block_at(u64 block, u64& place);
  Result<void> grow_table(u64 block);
  [[nodiscard]] Result<u64> larger_table_clusters(u64 block) const;
  Result<void> write_new_table(u64 first, u64 clusters);
  void abandon_blocks(u64 old_entries);
  Result<void> write_table_entries();
  [[nodiscard]] u64 byte_of(u64 cluster) const {
    return ((cluster % entries_per_block_) << order_) / 8;
  }
  [[nodiscard]] u64 decode(const u8* bytes, u64 cluster) const;
  void encode(u8* bytes, u64 cluster, u64 count) const;

  ByteFile& file_;
  MetadataMap& metadata_;
  unsigned cluster_bits_;
  unsigned order_;  // a count is 2^order bits wide
  u64 entries_per_block_;
  u64 table_offset_;
  u64 table_clusters_;
  std::vector<u64> table_;  // block offsets
  bool table_dirty_ = false;
  u64 dirty_first_ = 0;  // entries of table_
  u64 dirty_last_ = 0;
  u64 search_from_ = 0;  // no free cluster before it
  std::vector<u64> outgrown_;
  TableCache cache_;
};

}  // namespace emu::qcow2
