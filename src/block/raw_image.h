// SPDX-License-Identifier: Apache-2.0
// A raw image: byte n of the disk is byte n of the file.
// Threads: any.
#pragma once

#include <memory>

#include "block/disk_image.h"

namespace emu {

class RawImage final : public DiskImage {
 public:
  // `is_guess`: the format came from probing. Then a guest may not write the signature of another
  // format into sector 0, because the next start would take the disk for that format and, say,
  // follow its backing file name (CVE-2008-2004).
  RawImage(std::unique_ptr<ByteFile> file, bool is_guess);

  // The file's size, up to whole sectors; the missing tail reads as zero.
  [[nodiscard]] u64 size_bytes() const override { return size_bytes_; }
  [[nodiscard]] bool read_only() const override { return file_->read_only(); }
  [[nodiscard]] std::string describe() const override;
  Result<void> read(u64 offset, Pieces out) override { return file_->read(offset, out); }
  [[nodiscard]] bool read_at_once(u64 offset, Pieces out) override {
    return file_->read_at_once(offset, out);
  }
  [[nodiscard]] std::optional<HostPlace> place(bool is_write, u64 offset, Pieces pieces) override;
  Result<void> write(u64 offset, Pieces in) override;
  Result<void> write_zeroes(u64 offset, u64 length_bytes) override {
    return file_->write_zeroes(offset, length_bytes);
  }
  Result<void> discard(u64 offset, u64 length_bytes) override {
    return file_->discard(offset, length_bytes);
  }
  Result<void> flush() override { return file_->flush(); }
  Result<MapExtent> map(u64 offset, u64 max_bytes) override;
  [[nodiscard]] ImageInfo info() const override;
  Result<void> resize(u64 size_bytes) override;

 private:
  Result<void> refuse_disguise(u64 offset, Pieces in);

  std::unique_ptr<ByteFile> file_;
  bool is_guess_;
  u64 size_bytes_;
};

}  // namespace emu
