// SPDX-License-Identifier: Apache-2.0
// A VMware VMDK disk: one or more extents in files, one behind the other.
// Source: VMware, "Virtual Disk Format 5.0".
// Threads: any.
// Not modelled: raw device mappings, ESX sparse extents; making a differencing disk.
#pragma once

#include <functional>
#include <memory>

#include "block/disk_image.h"
#include "block/vmdk/vmdk_descriptor.h"

namespace emu::vmdk {

// How the files that an image names are opened: relative to the image, with lock.
using FileOpener = std::function<Result<std::unique_ptr<ByteFile>>(const std::string& name)>;
using ParentOpener = std::function<Result<std::unique_ptr<DiskImage>>(const std::string& name)>;

class VmdkImage final : public DiskImage {
 public:
  // `file` is a descriptor, or a sparse extent that carries one. Errors: a sentence.
  [[nodiscard]] static Result<std::unique_ptr<DiskImage>> open(std::unique_ptr<ByteFile> file,
                                                               const FileOpener& open_file,
                                                               const ParentOpener& open_parent);

  [[nodiscard]] u64 size_bytes() const override { return size_bytes_; }
  [[nodiscard]] bool read_only() const override { return read_only_; }
  [[nodiscard]] std::string describe() const override;
  Result<void> read(u64 offset, Pieces out) override;
  Result<void> write(u64 offset, Pieces in) override;
  Result<void> write_zeroes(u64 offset, u64 length_bytes) override;
  Result<void> discard(u64 offset, u64 length_bytes) override;
  Result<void> flush() override;
  Result<MapExtent> map(u64 offset, u64 max_bytes) override;
  [[nodiscard]] DiskImage* backing() override { return parent_.get(); }
  [[nodiscard]] ImageInfo info() const override;
  Result<void> write_compressed(u64 offset, std::span<const u8> grain) override;

 private:
  struct Extent {
    u64 start = 0;
    u64 end = 0;
    std::unique_ptr<DiskImage> image;  // null: zeros
  };
  VmdkImage() = default;
  Result<void> add_extent(const ExtentLine& line, std::unique_ptr<ByteFile> file);
  [[nodiscard]] Extent& extent_at(u64 offset);
  // Calls f(extent, offset in it, length) for each part of the range.
  template <class F>
  Result<void> each_part(u64 offset, u64 length_bytes, F&& f);

  std::string path_;
  std::string create_type_;
  std::string parent_name_;
  std::vector<Extent> extents_;
  std::shared_ptr<DiskImage> parent_;
  u64 size_bytes_ = 0;
  u64 grain_bytes_ = 0;
  u64 cid_ = 0;
  bool read_only_ = false;
};

enum class Subformat : u8 {
  kMonolithicSparse,
  kMonolithicFlat,
  kTwoGbMaxExtentSparse,
  kTwoGbMaxExtentFlat,
  kStreamOptimized
};

// Errors: an unknown name, with the known ones.
[[nodiscard]] Result<Subformat> parse_subformat(const std::string& name);

// Makes an empty disk of `size_bytes`. `file` becomes the image or its descriptor; further files
// are made through `make_file`, by names relative to it. Errors: the host's.
[[nodiscard]] Result<void> create(ByteFile& file, u64 size_bytes, Subformat subformat,
                                  const FileOpener& make_file);

}  // namespace emu::vmdk
