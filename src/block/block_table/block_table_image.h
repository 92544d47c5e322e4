// SPDX-License-Identifier: Apache-2.0
// What VDI, VHD, VHDX and VMDK have in common: the disk is cut into blocks of one size, a table
// says where in the file each block lies, and new blocks are put behind the last one.
// Threads: any. Reads and overwrites in place share the lock; what changes the table has it alone.
// Crash order: a block's data is on stable storage before the table entry that refers to it.
#pragma once

#include <memory>
#include <shared_mutex>

#include "block/disk_image.h"

namespace emu {

class BlockTableImage : public DiskImage {
 public:
  [[nodiscard]] u64 size_bytes() const override { return size_bytes_; }
  [[nodiscard]] bool read_only() const override { return file_->read_only(); }
  [[nodiscard]] std::string describe() const override;
  Result<void> read(u64 offset, Pieces out) override;
  Result<void> write(u64 offset, Pieces in) override;
  Result<void> write_zeroes(u64 offset, u64 length_bytes) override;
  Result<void> discard(u64 offset, u64 length_bytes) override;
  Result<void> flush() override;
  Result<MapExtent> map(u64 offset, u64 max_bytes) override;
  [[nodiscard]] DiskImage* backing() override { return backing_.get(); }

 protected:
  // How the bytes from an offset on are stored; never beyond the end of the offset's block.
  struct Place {
    Stored stored = Stored::kBelow;
    u64 file_offset = 0;   // kData: of the first byte
    u64 length_bytes = 0;  // at least 1
    bool packed = false;   // kData: read_packed() knows how to read it
  };

  BlockTableImage(std::unique_ptr<ByteFile> file, std::unique_ptr<DiskImage> backing,
                  std::string format_name)
      : file_(std::move(file)),
        backing_(std::move(backing)),
        format_name_(std::move(format_name)) {}
  // What the destructor of each format does: brings the table to the file.
  void close();

  // Either lock held. Errors: a table entry that leads outside the file.
  [[nodiscard]] virtual Result<Place> find(u64 offset) = 0;
  // Exclusive lock held. Reserves room for the block at the end of the file, all zero; where its
  // data begins.
  [[nodiscard]] virtual Result<u64> allocate(u64 block) = 0;
  // Notes in memory that the block lies there.
  virtual Result<void> set_place(u64 block, u64 file_offset) = 0;
  // Writes what was noted to the file; the data it refers to is on stable storage.
  virtual Result<void> write_table() = 0;
  // Reads from a place that is `packed`.
  [[nodiscard]] virtual Result<void> read_packed(const Place& place, u64 offset, Pieces out);

  // Takes the lock. Puts bytes of the format's own making at `end`, which advances, as the place of
  // a block that has none. Errors: EEXIST if it has one.
  Result<void> append_block(u64 block, std::span<const u8> bytes, u64& end);

  [[nodiscard]] Error damaged(const std::string& what) const;
  [[nodiscard]] ImageInfo basic_info() const;

  std::unique_ptr<ByteFile> file_;
  std::unique_ptr<DiskImage> backing_;
  std::string format_name_;
  u64 size_bytes_ = 0;
  u64 block_bytes_ = 0;

 private:
  Result<void> read_place(const Place& place, u64 offset, Pieces out);
  Result<void> read_below(u64 offset, Pieces out);
  Result<void> write_new_block(u64 offset, Pieces in);
  Result<Place> find_in(u64 offset, u64 max_bytes);
  Result<void> commit();
  [[nodiscard]] bool shows_backing(u64 offset) const {
    return backing_ != nullptr && offset < backing_->size_bytes();
  }

  std::shared_mutex lock_;
  bool table_dirty_ = false;
};

}  // namespace emu
