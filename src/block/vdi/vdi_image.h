// SPDX-License-Identifier: Apache-2.0
// VirtualBox VDI: dynamic, static and differencing images of version 1.1.
// Source: VirtualBox's VDICore.h layout as described in qemu's block/vdi.c comments and
// https://forums.virtualbox.org/viewtopic.php?t=8046 ("VDI specification").
// Not modelled: images of version 0 and undo images; a differencing image is not made here.
#pragma once

#include <array>

#include "block/block_table/block_table_image.h"

namespace emu::vdi {

using Uuid = std::array<u8, 16>;

struct Header {
  u32 image_type = 0;  // 1 dynamic, 2 static, 4 differencing
  u64 table_offset = 0;
  u64 data_offset = 0;
  u64 disk_bytes = 0;
  u32 block_bytes = 0;
  u32 blocks = 0;
  u32 blocks_allocated = 0;
  Uuid uuid{};
  Uuid parent_uuid{};
};

inline constexpr u32 kDynamic = 1;
inline constexpr u32 kStatic = 2;
inline constexpr u32 kDifferencing = 4;

// The name of the image beside `path` that has this identity, or nothing: a differencing image
// does not name its parent.
[[nodiscard]] std::string find_parent(const std::string& path, const Uuid& uuid);

// Errors: not VDI, another version, numbers that cannot be.
[[nodiscard]] Result<Header> read_header(ByteFile& file);

class VdiImage final : public BlockTableImage {
 public:
  // `backing`: of a differencing image.
  [[nodiscard]] static Result<std::unique_ptr<DiskImage>> open(std::unique_ptr<ByteFile> file,
                                                               const Header& header,
                                                               std::unique_ptr<DiskImage> backing);
  ~VdiImage() override { close(); }
  [[nodiscard]] ImageInfo info() const override;

 private:
  VdiImage(std::unique_ptr<ByteFile> file, const Header& header,
           std::unique_ptr<DiskImage> backing);
  Result<void> load();
  Result<Place> find(u64 offset) override;
  Result<u64> allocate(u64 block) override;
  Result<void> set_place(u64 block, u64 file_offset) override;
  Result<void> write_table() override;

  Header header_;
  std::vector<u32> table_;
  u64 dirty_from_ = ~u64{0};  // entries
  u64 dirty_to_ = 0;
};

struct CreateOptions {
  u64 size_bytes = 0;
  bool is_static = false;
};

// Writes an empty image. Errors: too large; the host's.
[[nodiscard]] Result<void> create(ByteFile& file, const CreateOptions& options);

}  // namespace emu::vdi
