// SPDX-License-Identifier: Apache-2.0
// The checked header of a qcow2 image.
// Source: qcow2 spec: header, header extensions, snapshots.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "block/byte_file.h"
#include "block/image_info.h"
#include "block/qcow2/qcow2_spec.h"

namespace emu::qcow2 {

// An entry of the snapshot table.
struct Snapshot {
  u64 l1_offset = 0;
  u32 l1_entries = 0;
  SnapshotInfo about;
  std::vector<u8> extra;  // the entry's extra data as it is
};

// A header extension as it stands in the file.
struct Extension {
  u32 type = 0;
  std::vector<u8> data;
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
  std::vector<Snapshot> snapshots;
  u64 incompatible = 0;
  u64 compatible = 0;
  u64 autoclear = 0;
  unsigned refcount_order = 4;
  u8 compression_type = kCompressionZlib;
  u32 crypt_method = kCryptNone;
  u64 luks_offset = 0;  // of the LUKS header
  u64 luks_bytes = 0;
  u32 bitmaps = 0;  // how many
  u64 bitmap_directory_offset = 0;
  u64 bitmap_directory_bytes = 0;
  std::string data_file;  // external; empty: data lies in this file
  std::vector<Extension> extensions;
  std::string backing_file;    // empty: none
  std::string backing_format;  // empty: not recorded

  [[nodiscard]] u64 cluster_bytes() const { return u64{1} << cluster_bits; }
  [[nodiscard]] bool extended_l2() const { return (incompatible & kIncompatibleExtendedL2) != 0; }
  [[nodiscard]] bool external_data() const {
    return (incompatible & kIncompatibleExternalData) != 0;
  }
  [[nodiscard]] u64 l2_entry_bytes() const {
    return extended_l2() ? kExtendedL2EntryBytes : kEntryBytes;
  }
  [[nodiscard]] u64 l2_entries() const { return cluster_bytes() / l2_entry_bytes(); }
  // The smallest part of a cluster that is stored on its own.
  [[nodiscard]] u64 unit_bytes() const {
    return extended_l2() ? cluster_bytes() / kSubclusters : cluster_bytes();
  }
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

// Writes the header's fixed part, its extensions and the backing file name anew, in one write.
// Errors: the host's; names too long for the first cluster.
[[nodiscard]] Result<void> write_header(ByteFile& file, const Header& header);

// Which snapshot is meant by an id or, if none has that id, by a name. Errors: none is.
[[nodiscard]] Result<u64> find_snapshot(const Header& header, const std::string& tag,
                                        const std::string& path);

// Makes the header show a snapshot instead of the disk as it is, for reading.
[[nodiscard]] Result<void> show_snapshot(Header& header, const std::string& tag,
                                         const std::string& path);

// The bytes of a snapshot table with these entries.
[[nodiscard]] std::vector<u8> snapshot_table(const std::vector<Snapshot>& snapshots);

}  // namespace emu::qcow2
