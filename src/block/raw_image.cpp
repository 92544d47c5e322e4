// SPDX-License-Identifier: Apache-2.0
// A raw image.
#include "block/raw_image.h"

#include <algorithm>
#include <cerrno>

#include "base/bits.h"
#include "block/probe.h"

namespace emu {

RawImage::RawImage(std::unique_ptr<ByteFile> file, bool is_guess)
    : file_(std::move(file)),
      is_guess_(is_guess),
      size_bytes_(align_up(file_->size_bytes(), 512)) {}

std::string RawImage::describe() const {
  return fmt::format("{} ({}, {}{})", base_name(file_->path()),
                     is_guess_ ? "raw by its content" : "raw", size_text(size_bytes_),
                     read_only() ? ", read-only" : "");
}

std::optional<HostPlace> RawImage::place(bool is_write, u64 offset, Pieces pieces) {
  if (is_write && is_guess_ && offset < kProbeBytes) return std::nullopt;
  return file_->place(is_write, offset, pieces);
}

Result<void> RawImage::write(u64 offset, Pieces in) {
  if (is_guess_ && offset < kProbeBytes) EMU_TRY(refuse_disguise(offset, in));
  return file_->write(offset, in);
}

Result<MapExtent> RawImage::map(u64 offset, u64 max_bytes) {
  const u64 left = std::min(max_bytes, size_bytes_ - offset);
  auto stored = file_->find_stored(offset);
  if (!stored) return stored.error();
  if (stored->start > offset || stored->end <= offset) {
    const u64 hole = stored->end <= offset || stored->start >= stored->end
                         ? left
                         : std::min(left, stored->start - offset);
    return MapExtent{Stored::kZero, false, hole, offset};
  }
  return MapExtent{Stored::kData, false, std::min(left, stored->end - offset), offset};
}

ImageInfo RawImage::info() const {
  ImageInfo info;
  info.file = file_->path();
  info.format = "raw";
  info.virtual_bytes = size_bytes_;
  info.actual_bytes = file_->allocated_bytes();
  return info;
}

Result<void> RawImage::resize(u64 size_bytes) {
  EMU_TRY(size_bytes < file_->size_bytes() ? file_->shrink(size_bytes) : file_->grow(size_bytes));
  size_bytes_ = align_up(size_bytes, 512);
  return {};
}

Result<void> RawImage::refuse_disguise(u64 offset, Pieces in) {
  std::vector<u8> head(kProbeBytes);
  EMU_TRY(file_->read_flat(0, head));
  const std::string_view before = known_signature(head);
  copy_from_pieces(in, std::span(head).subspan(offset));
  const std::string_view after = known_signature(head);
  if (after.empty() || after == before) return {};
  return Error{EPERM, fmt::format("the guest tried to give {} the header of a {}; start with the "
                                  "format given explicitly as raw to allow that",
                                  file_->path(), after)};
}

}  // namespace emu
