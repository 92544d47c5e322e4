// SPDX-License-Identifier: Apache-2.0
// The checked header of a qcow2 image.
// Source: qcow2 spec: header, header extensions, snapshots.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "block/byte_file.h"
#include "block/qcow2/qcow2_spec.h"

namespace emu::qcow2 {

// Where an internal snapshot keeps its L1 table.
struct SnapshotL1 {
  u64 offset_bytes = 0;
  u32 entries = 0;
};

struct Header {
  u32 version = 3;
  unsigned cluster_bits = 16;
  u64 size_bytes = 0;  // of the virtual disk, whole sectors
  u32 l1_entries = 0;
  u64 l1_offset = 0;
  u64 refcount_table_offset = 0;
  u32 refcount_table_clusters = 0;
  u64 snapshots_offset = 0;
  u64 snapshots_bytes = 0;
  std::vector<SnapshotL1> snapshots;
  u64 incompatible = 0;
  u64 compatible = 0;
  u64 autoclear = 0;
  unsigned refcount_order = 4;
  u8 compression_type = kCompressionZlib;
  bool has_bitmaps = false;
  std::string backing_file;    // empty: none
  std::string backing_format;  // empty: not recorded

  [[nodiscard]] u64 cluster_bytes() const { return u64{1} << cluster_bits; }
  [[nodiscard]] u64 l2_entries() const { return cluster_bytes() / kEntryBytes; }
  // Bytes of the disk that one L2 table describes.
  [[nodiscard]] u64 l2_covers_bytes() const { return l2_entries() << cluster_bits; }
  [[nodiscard]] u64 clusters_for(u64 bytes) const {
    return (bytes >> cluster_bits) + ((bytes & (cluster_bytes() - 1)) != 0 ? 1 : 0);
  }
};

// Reads and checks header, extensions and snapshot table: everything an offset or size in them
// leads to lies inside the file. Errors: a sentence naming the file, what is wrong and what to do
// (unsupported feature by name, truncated file, damaged table).
[[nodiscard]] Result<Header> read_header(ByteFile& file);

}  // namespace emu::qcow2
