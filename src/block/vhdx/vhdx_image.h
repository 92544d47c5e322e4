// SPDX-License-Identifier: Apache-2.0
// Hyper-V VHDX: dynamic and fixed images.
// Source: Microsoft, [MS-VHDX] "Virtual Hard Disk v2 (VHDX) File Format".
// Crash order: the table of blocks is changed in place, an entry of eight bytes at a time, after
// the data it leads to; a log that another program left is replayed before anything else.
// Not modelled: differencing images; changes through a log of our own.
#pragma once

#include <array>

#include "block/block_table/block_table_image.h"
#include "block/vhdx/vhdx_spec.h"

namespace emu::vhdx {

class VhdxImage final : public BlockTableImage {
 public:
  // A log to be replayed is written to a writable file; a read-only one is read through it.
  // Errors: both headers or region tables damaged, unknown required regions or items, numbers that
  // cannot be.
  [[nodiscard]] static Result<std::unique_ptr<DiskImage>> open(std::unique_ptr<ByteFile> file);
  ~VhdxImage() override { close(); }
  [[nodiscard]] ImageInfo info() const override;

 private:
  VhdxImage(std::unique_ptr<ByteFile> file, const Layout& layout);
  Result<void> load();
  Result<Place> find(u64 offset) override;
  Result<u64> allocate(u64 block) override;
  Result<void> set_place(u64 block, u64 file_offset) override;
  Result<void> write_table() override;
  // Another entry, for a bitmap of sectors, stands behind every `chunk_ratio_` blocks.
  [[nodiscard]] u64 entry_index(u64 block) const { return block + block / chunk_ratio_; }
  Result<void> note_change();

  Layout layout_;
  u64 chunk_ratio_ = 1;
  std::vector<u64> table_;
  std::vector<u64> dirty_;  // blocks
  u64 end_ = 0;             // where the next block goes
  bool change_is_noted_ = false;
};

struct CreateOptions {
  u64 size_bytes = 0;
  bool is_fixed = false;
  u64 block_bytes = 0;  // 1 to 256 MiB, a power of two; 0: by the disk's size
};

// Writes an empty image. Errors: options out of range; the host's.
[[nodiscard]] Result<void> create(ByteFile& file, const CreateOptions& options);

}  // namespace emu::vhdx
