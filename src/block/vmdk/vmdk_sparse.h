// SPDX-License-Identifier: Apache-2.0
// A hosted sparse extent: the part of a VMDK disk that lies in one file, in grains, found through
// a directory of tables. With compressed grains it is "streamOptimized".
// Source: VMware, "Virtual Disk Format 5.0": hosted sparse extents, compressed grains, markers.
// Not modelled: ESX sparse extents (COWD); changing a compressed grain once it is written.
#pragma once

#include "block/block_table/block_table_image.h"

namespace emu::vmdk {

struct SparseHeader {
  u32 version = 1;
  u32 flags = 0;
  u64 size_bytes = 0;
  u64 grain_bytes = 0;
  u64 descriptor_offset = 0;  // bytes
  u64 descriptor_bytes = 0;
  u32 entries_per_table = 512;
  u64 redundant_directory_offset = 0;  // bytes; 0: none
  u64 directory_offset = 0;            // bytes
};

// Errors: not a sparse extent, numbers that cannot be, compression other than deflate.
[[nodiscard]] Result<SparseHeader> read_sparse_header(ByteFile& file);

class SparseExtent final : public BlockTableImage {
 public:
  // `below` shows where nothing is stored: the parent's part.
  [[nodiscard]] static Result<std::unique_ptr<SparseExtent>> open(std::unique_ptr<ByteFile> file,
                                                                  const SparseHeader& header,
                                                                  std::unique_ptr<DiskImage> below);
  ~SparseExtent() override;
  [[nodiscard]] ImageInfo info() const override;
  Result<void> write(u64 offset, Pieces in) override;
  Result<void> write_zeroes(u64 offset, u64 length_bytes) override;
  Result<void> write_compressed(u64 offset, std::span<const u8> grain) override;
  [[nodiscard]] bool is_packed() const;
  [[nodiscard]] u64 grain_bytes() const { return block_bytes_; }

 private:
  SparseExtent(std::unique_ptr<ByteFile> file, const SparseHeader& header,
               std::unique_ptr<DiskImage> below);
  Result<void> load();
  Result<void> load_directory(u64 offset, std::vector<u32>& into);
  Result<Place> find(u64 offset) override;
  Result<u64> allocate(u64 block) override;
  Result<void> set_place(u64 block, u64 file_offset) override;
  Result<void> write_table() override;
  Result<void> read_packed(const Place& place, u64 offset, Pieces out) override;
  Result<void> make_table(u64 number);

  SparseHeader header_;
  std::vector<u32> directory_;  // sectors
  std::vector<u32> redundant_;
  std::vector<std::vector<u32>> tables_;  // an empty one: all grains are absent
  std::vector<u64> dirty_;                // grains
  u64 end_ = 0;                           // where the next grain goes
};

struct SparseCreateOptions {
  u64 size_bytes = 0;
  bool packed = false;
  std::string descriptor;  // embedded; empty: in a file of its own
};

// Writes an empty sparse extent. Errors: the host's.
[[nodiscard]] Result<void> create_sparse(ByteFile& file, const SparseCreateOptions& options);

}  // namespace emu::vmdk
