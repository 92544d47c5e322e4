// SPDX-License-Identifier: Apache-2.0
// Virtual PC and Hyper-V VHD: fixed, dynamic and differencing images.
// Source: Microsoft, "Virtual Hard Disk Image Format Specification", version 1.0. All numbers are
// big-endian.
// Not modelled: making a differencing image; sizes by cylinders, heads and sectors (the footer's
// current size counts). A fixed image does not show at its start: it must be named.
#pragma once

#include <array>

#include "block/block_table/block_table_image.h"

namespace emu::vhd {

inline constexpr u64 kFooterBytes = 512;

struct Header {
  u32 disk_type = 0;  // 2 fixed, 3 dynamic, 4 differencing
  u64 disk_bytes = 0;
  std::vector<u8> footer;
  u64 table_offset = 0;  // not of a fixed image
  u32 blocks = 0;
  u32 block_bytes = 0;
  std::string parent_name;  // of a differencing image
  [[nodiscard]] bool is_fixed() const { return disk_type == 2; }
};

// Errors: not VHD, checksums, numbers that cannot be.
[[nodiscard]] Result<Header> read_header(ByteFile& file);

// A fixed image: the disk as it is, then the footer.
class FixedVhdImage final : public DiskImage {
 public:
  FixedVhdImage(std::unique_ptr<ByteFile> file, const Header& header)
      : file_(std::move(file)), size_bytes_(header.disk_bytes) {}
  [[nodiscard]] u64 size_bytes() const override { return size_bytes_; }
  [[nodiscard]] bool read_only() const override { return file_->read_only(); }
  [[nodiscard]] std::string describe() const override;
  Result<void> read(u64 offset, Pieces out) override { return file_->read(offset, out); }
  Result<void> write(u64 offset, Pieces in) override { return file_->write(offset, in); }
  Result<void> write_zeroes(u64 offset, u64 n) override { return file_->write_zeroes(offset, n); }
  Result<void> discard(u64 offset, u64 n) override { return file_->discard(offset, n); }
  Result<void> flush() override { return file_->flush(); }
  Result<MapExtent> map(u64 offset, u64 max_bytes) override;
  [[nodiscard]] ImageInfo info() const override;

 private:
  std::unique_ptr<ByteFile> file_;
  u64 size_bytes_;
};

// A dynamic or differencing image. Each block begins with a bitmap of the sectors it stores.
class DynamicVhdImage final : public BlockTableImage {
 public:
  [[nodiscard]] static Result<std::unique_ptr<DiskImage>> open(std::unique_ptr<ByteFile> file,
                                                               Header header,
                                                               std::unique_ptr<DiskImage> backing);
  ~DynamicVhdImage() override { close(); }
  [[nodiscard]] ImageInfo info() const override;

 private:
  DynamicVhdImage(std::unique_ptr<ByteFile> file, Header header,
                  std::unique_ptr<DiskImage> backing);
  Result<void> load();
  Result<Place> find(u64 offset) override;
  Result<u64> allocate(u64 block) override;
  Result<void> set_place(u64 block, u64 file_offset) override;
  Result<void> write_table() override;
  Result<Place> find_in_bitmap(u64 block_offset, u64 inside);

  Header header_;
  u64 bitmap_bytes_ = 0;  // of one block
  u64 end_ = 0;           // where the next block goes; the footer lies there
  std::vector<u32> table_;
  std::vector<u64> dirty_;  // blocks
};

struct CreateOptions {
  u64 size_bytes = 0;
  bool is_fixed = false;
};

// Writes an empty image. Errors: larger than 2040 GiB; the host's.
[[nodiscard]] Result<void> create(ByteFile& file, const CreateOptions& options);

}  // namespace emu::vhd
