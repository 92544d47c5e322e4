// SPDX-License-Identifier: Apache-2.0
// VMDK disks of several extents.
#include "block/vmdk/vmdk_image.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <random>

#include "base/bits.h"
#include "block/vmdk/vmdk_sparse.h"

namespace emu::vmdk {
namespace {

constexpr u64 kMaxDescriptorBytes = kMiB;
constexpr u64 kSplitBytes = 2 * kGiB - 128 * kKiB;

constexpr std::array<std::string_view, 5> kSubformats{"monolithicSparse", "monolithicFlat",
                                                      "twoGbMaxExtentSparse", "twoGbMaxExtentFlat",
                                                      "streamOptimized"};

// A stretch of another image: what an extent sees of the parent disk.
class PartOfImage final : public DiskImage {
 public:
  PartOfImage(std::shared_ptr<DiskImage> whole, u64 start)
      : whole_(std::move(whole)),
        start_(start),
        size_bytes_(start < whole_->size_bytes() ? whole_->size_bytes() - start : 0) {}
  [[nodiscard]] u64 size_bytes() const override { return size_bytes_; }
  [[nodiscard]] bool read_only() const override { return true; }
  [[nodiscard]] std::string describe() const override { return whole_->describe(); }
  Result<void> read(u64 offset, Pieces out) override { return whole_->read(start_ + offset, out); }
  Result<void> write(u64, Pieces) override { return refuse(); }
  Result<void> write_zeroes(u64, u64) override { return refuse(); }
  Result<void> discard(u64, u64) override { return refuse(); }
  Result<void> flush() override { return {}; }
  [[nodiscard]] ImageInfo info() const override { return whole_->info(); }

 private:
  [[nodiscard]] Result<void> refuse() const {
    return Error{EROFS, describe() + " is a parent disk, which is not written"};
  }
  std::shared_ptr<DiskImage> whole_;
  u64 start_;
  u64 size_bytes_;
};

class FlatExtent final : public DiskImage {
 public:
  FlatExtent(std::unique_ptr<ByteFile> file, u64 start, u64 size_bytes)
      : file_(std::move(file)), start_(start), size_bytes_(size_bytes) {}
  [[nodiscard]] u64 size_bytes() const override { return size_bytes_; }
  [[nodiscard]] bool read_only() const override { return file_->read_only(); }
  [[nodiscard]] std::string describe() const override { return file_->path(); }
  Result<void> read(u64 offset, Pieces out) override { return file_->read(start_ + offset, out); }
  Result<void> write(u64 offset, Pieces in) override { return file_->write(start_ + offset, in); }
  Result<void> write_zeroes(u64 offset, u64 n) override {
    return file_->write_zeroes(start_ + offset, n);
  }
  Result<void> discard(u64 offset, u64 n) override { return file_->discard(start_ + offset, n); }
  Result<void> flush() override { return file_->flush(); }
  Result<MapExtent> map(u64 offset, u64 max_bytes) override {
    return MapExtent{Stored::kData, false, std::min(max_bytes, size_bytes_ - offset),
                     start_ + offset};
  }
  [[nodiscard]] ImageInfo info() const override {
    ImageInfo info;
    info.actual_bytes = file_->allocated_bytes();
    return info;
  }

 private:
  std::unique_ptr<ByteFile> file_;
  u64 start_;
  u64 size_bytes_;
};

bool is_sparse(ByteFile& file) {
  u8 magic[4] = {};
  return file.read_flat(0, magic) && std::string_view(reinterpret_cast<char*>(magic), 4) == "KDMV";
}

Result<std::string> read_text(ByteFile& file, u64 offset, u64 bytes) {
  std::string text(std::min(bytes, kMaxDescriptorBytes), '\0');
  EMU_TRY(file.read_flat(offset, std::span<u8>(reinterpret_cast<u8*>(text.data()), text.size())));
  return text;
}

}  // namespace

Result<std::unique_ptr<DiskImage>> VmdkImage::open(std::unique_ptr<ByteFile> file,
                                                   const FileOpener& open_file,
                                                   const ParentOpener& open_parent) {
  std::unique_ptr<VmdkImage> image(new VmdkImage());
  image->path_ = file->path();
  image->read_only_ = file->read_only();
  const bool carries = is_sparse(*file);
  u64 text_at = 0;
  u64 text_bytes = file->size_bytes();
  if (carries) {
    auto header = read_sparse_header(*file);
    if (!header) return header.error();
    if (header->descriptor_offset == 0)
      return fail(
          "{} is one part of a VMDK disk; open the small .vmdk file that describes all of "
          "them",
          file->path());
    text_at = header->descriptor_offset;
    text_bytes = header->descriptor_bytes;
  }
  auto text = read_text(*file, text_at, text_bytes);
  if (!text) return text.error();
  auto d = parse_descriptor(*text, file->path());
  if (!d) return d.error();
  image->create_type_ = d->create_type;
  image->cid_ = d->cid;
  if (!d->parent_file.empty()) {
    auto parent = open_parent(d->parent_file);
    if (!parent) return parent.error();
    image->parent_name_ = d->parent_file;
    image->parent_ = std::move(*parent);
  }
  if (carries && d->extents.size() != 1)
    return fail("{} is damaged: a single file with {} extents", image->path_, d->extents.size());
  for (const ExtentLine& line : d->extents) {
    if (line.kind == ExtentKind::kZero) {
      EMU_TRY(image->add_extent(line, nullptr));
    } else if (carries) {
      EMU_TRY(image->add_extent(line, std::move(file)));
    } else {
      auto part = open_file(line.file);
      if (!part) return part.error();
      EMU_TRY(image->add_extent(line, std::move(*part)));
    }
  }
  return std::unique_ptr<DiskImage>(std::move(image));
}

Result<void> VmdkImage::add_extent(const ExtentLine& line, std::unique_ptr<ByteFile> file) {
  Extent extent{size_bytes_, size_bytes_ + line.size_bytes, nullptr};
  if (line.kind == ExtentKind::kFlat) {
    if (!range_fits(line.offset_bytes, line.size_bytes, file->size_bytes()))
      return fail("{} is cut short: {} bytes from {} belong to {}", file->path(), line.size_bytes,
                  line.offset_bytes, path_);
    extent.image =
        std::make_unique<FlatExtent>(std::move(file), line.offset_bytes, line.size_bytes);
  } else if (line.kind == ExtentKind::kSparse) {
    auto header = read_sparse_header(*file);
    if (!header) return header.error();
    if (header->size_bytes < line.size_bytes)
      return fail("{} is smaller than {} says", file->path(), path_);
    std::unique_ptr<DiskImage> below;
    if (parent_) below = std::make_unique<PartOfImage>(parent_, extent.start);
    auto sparse = SparseExtent::open(std::move(file), *header, std::move(below));
    if (!sparse) return sparse.error();
    grain_bytes_ = (*sparse)->grain_bytes();
    extent.image = std::move(*sparse);
  }
  size_bytes_ = extent.end;
  extents_.push_back(std::move(extent));
  return {};
}

std::string VmdkImage::describe() const {
  return fmt::format("{} (vmdk, {}{})", base_name(path_),
                     part_of_size_text(info().actual_bytes, std::max<u64>(size_bytes_, 1)),
                     read_only_ ? ", read-only" : "");
}

ImageInfo VmdkImage::info() const {
  ImageInfo info;
  info.file = path_;
  info.format = "vmdk";
  info.virtual_bytes = size_bytes_;
  info.cluster_bytes = grain_bytes_;
  info.backing_file = parent_name_;
  for (const Extent& e : extents_) info.actual_bytes += e.image ? e.image->info().actual_bytes : 0;
  info.is_packed = create_type_ == "streamOptimized";
  info.details.emplace_back("cid", cid_);
  info.details.emplace_back("create-type", create_type_);
  info.details.emplace_back("extents", u64{extents_.size()});
  return info;
}

VmdkImage::Extent& VmdkImage::extent_at(u64 offset) {
  return *std::upper_bound(extents_.begin(), extents_.end(), offset,
                           [](u64 at, const Extent& e) { return at < e.end; });
}

template <class F>
Result<void> VmdkImage::each_part(u64 offset, u64 length_bytes, F&& f) {
  while (length_bytes != 0) {
    Extent& extent = extent_at(offset);
    const u64 n = std::min(length_bytes, extent.end - offset);
    EMU_TRY(f(extent, offset - extent.start, n));
    offset += n;
    length_bytes -= n;
  }
  return {};
}

Result<void> VmdkImage::read(u64 offset, Pieces out) {
  PieceCursor cursor(out);
  return each_part(offset, total_bytes(out), [&](Extent& e, u64 at, u64 n) -> Result<void> {
    const auto part = cursor.take(n);
    if (e.image) return e.image->read(at, part);
    zero_pieces(part);
    return {};
  });
}

Result<void> VmdkImage::write(u64 offset, Pieces in) {
  PieceCursor cursor(in);
  return each_part(offset, total_bytes(in), [&](Extent& e, u64 at, u64 n) -> Result<void> {
    if (e.image) return e.image->write(at, cursor.take(n));
    return Error{EROFS, path_ + " has a part that is always zero"};
  });
}

Result<void> VmdkImage::write_zeroes(u64 offset, u64 length_bytes) {
  return each_part(offset, length_bytes, [&](Extent& e, u64 at, u64 n) {
    return e.image ? e.image->write_zeroes(at, n) : Result<void>{};
  });
}

Result<void> VmdkImage::discard(u64 offset, u64 length_bytes) {
  return each_part(offset, length_bytes, [&](Extent& e, u64 at, u64 n) {
    return e.image ? e.image->discard(at, n) : Result<void>{};
  });
}

Result<void> VmdkImage::flush() {
  for (const Extent& e : extents_) {
    if (e.image) EMU_TRY(e.image->flush());
  }
  return {};
}

Result<MapExtent> VmdkImage::map(u64 offset, u64 max_bytes) {
  Extent& extent = extent_at(offset);
  const u64 n = std::min(max_bytes, extent.end - offset);
  if (extent.image) return extent.image->map(offset - extent.start, n);
  return MapExtent{Stored::kZero, false, n, std::nullopt};
}

Result<void> VmdkImage::write_compressed(u64 offset, std::span<const u8> grain) {
  Extent& extent = extent_at(offset);
  if (extent.image && offset + grain.size() <= extent.end)
    return extent.image->write_compressed(offset - extent.start, grain);
  return DiskImage::write_compressed(offset, grain);
}

Result<Subformat> parse_subformat(const std::string& name) {
  std::string known;
  for (std::size_t i = 0; i < kSubformats.size(); ++i) {
    if (name == kSubformats[i]) return static_cast<Subformat>(i);
    known += (i == 0 ? "" : ", ") + std::string(kSubformats[i]);
  }
  return fail("subformat is one of {}, not \"{}\"", known, name);
}

Result<void> create(ByteFile& file, u64 size_bytes, Subformat subformat,
                    const FileOpener& make_file) {
  const bool flat =
      subformat == Subformat::kMonolithicFlat || subformat == Subformat::kTwoGbMaxExtentFlat;
  const bool split =
      subformat == Subformat::kTwoGbMaxExtentSparse || subformat == Subformat::kTwoGbMaxExtentFlat;
  Descriptor d;
  d.create_type = kSubformats[static_cast<std::size_t>(subformat)];
  d.cid = std::random_device()();
  const std::string name = base_name(file.path());
  const std::string stem = name.ends_with(".vmdk") ? name.substr(0, name.size() - 5) : name;
  const ExtentKind kind = flat ? ExtentKind::kFlat : ExtentKind::kSparse;
  if (!flat && !split) {
    d.extents.push_back({kind, true, size_bytes, name, 0});
    return create_sparse(file, {size_bytes, subformat == Subformat::kStreamOptimized,
                                descriptor_text(d, size_bytes)});
  }
  const u64 part_bytes = split ? kSplitBytes : std::max<u64>(size_bytes, 1);
  for (u64 at = 0; at < size_bytes; at += part_bytes) {
    const u64 bytes = std::min(part_bytes, size_bytes - at);
    const std::string part =
        split ? fmt::format("{}-{}{:03}.vmdk", stem, flat ? 'f' : 's', d.extents.size() + 1)
              : stem + "-flat.vmdk";
    auto made = make_file(part);
    if (!made) return made.error();
    EMU_TRY(flat ? (*made)->grow(bytes) : create_sparse(**made, {bytes, false, ""}));
    d.extents.push_back({kind, true, bytes, part, 0});
  }
  const std::string text = descriptor_text(d, size_bytes);
  return file.write_flat(0, std::vector<u8>(text.begin(), text.end()));
}

}  // namespace emu::vmdk
