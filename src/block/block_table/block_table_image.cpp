// SPDX-License-Identifier: Apache-2.0
// Reading and writing through a table of blocks.
#include "block/block_table/block_table_image.h"

#include <algorithm>
#include <cerrno>
#include <mutex>

#include "base/log.h"

namespace emu {

void BlockTableImage::close() {
  if (read_only() || !table_dirty_) return;
  if (auto done = commit(); !done) log(LogLevel::kError, "block", "{}", done.error().message);
}

Error BlockTableImage::damaged(const std::string& what) const {
  return Error{EIO, fmt::format("{} is damaged: {}; copy it again from where it came from",
                                file_->path(), what)};
}

std::string BlockTableImage::describe() const {
  return fmt::format("{} ({}, {}{})", base_name(file_->path()), format_name_,
                     part_of_size_text(file_->allocated_bytes(), std::max<u64>(size_bytes_, 1)),
                     read_only() ? ", read-only" : "");
}

ImageInfo BlockTableImage::basic_info() const {
  ImageInfo info;
  info.file = file_->path();
  info.format = format_name_;
  info.virtual_bytes = size_bytes_;
  info.actual_bytes = file_->allocated_bytes();
  info.cluster_bytes = block_bytes_;
  return info;
}

Result<BlockTableImage::Place> BlockTableImage::find_in(u64 offset, u64 max_bytes) {
  auto place = find(offset);
  if (place) place->length_bytes = std::min(place->length_bytes, max_bytes);
  return place;
}

Result<void> BlockTableImage::read(u64 offset, Pieces out) {
  PieceCursor cursor(out);
  const std::shared_lock lock(lock_);
  for (u64 left = total_bytes(out); left != 0;) {
    auto place = find_in(offset, left);
    if (!place) return place.error();
    EMU_TRY(read_place(*place, offset, cursor.take(place->length_bytes)));
    offset += place->length_bytes;
    left -= place->length_bytes;
  }
  return {};
}

Result<void> BlockTableImage::read_place(const Place& place, u64 offset, Pieces out) {
  if (place.stored == Stored::kBelow) return read_below(offset, out);
  if (place.stored == Stored::kData)
    return place.packed ? read_packed(place, offset, out) : file_->read(place.file_offset, out);
  zero_pieces(out);
  return {};
}

Result<void> BlockTableImage::read_packed(const Place&, u64, Pieces) {
  return Error{ENOTSUP, file_->path() + " has no compressed data"};
}

Result<void> BlockTableImage::read_below(u64 offset, Pieces out) {
  if (!shows_backing(offset)) {
    zero_pieces(out);
    return {};
  }
  const u64 length = total_bytes(out);
  const u64 inside = std::min(length, backing_->size_bytes() - offset);
  PieceCursor cursor(out);
  EMU_TRY(backing_->read(offset, cursor.take(inside)));
  zero_pieces(cursor.take(length - inside));
  return {};
}

Result<void> BlockTableImage::write(u64 offset, Pieces in) {
  PieceCursor cursor(in);
  for (u64 left = total_bytes(in); left != 0;) {
    u64 n = 0;
    {  // the common case: overwrite in place
      const std::shared_lock lock(lock_);
      auto place = find_in(offset, left);
      if (!place) return place.error();
      if (place->stored == Stored::kData && !place->packed) {
        n = place->length_bytes;
        EMU_TRY(file_->write(place->file_offset, cursor.take(n)));
      }
    }
    if (n == 0) {
      const std::unique_lock lock(lock_);
      n = std::min(left, block_bytes_ - offset % block_bytes_);
      EMU_TRY(write_new_block(offset, cursor.take(n)));
    }
    offset += n;
    left -= n;
  }
  return {};
}

// Gives the whole block a place and its old contents with `in` laid over them.
Result<void> BlockTableImage::write_new_block(u64 offset, Pieces in) {
  const u64 start = offset - offset % block_bytes_;
  const u64 inside = offset - start;
  auto now = find_in(offset, total_bytes(in));
  if (!now) return now.error();
  if (now->stored == Stored::kData && !now->packed && now->length_bytes == total_bytes(in))
    return file_->write(now->file_offset, in);  // somebody else was faster
  std::vector<u8> bytes;
  bool fill = false;
  for (u64 at = start; at < std::min(start + block_bytes_, size_bytes_);) {
    auto place = find(at);
    if (!place) return place.error();
    fill |=
        place->stored == Stored::kData || (place->stored == Stored::kBelow && shows_backing(at));
    at += place->length_bytes;
  }
  if (fill && total_bytes(in) != block_bytes_) {
    bytes.resize(std::min(block_bytes_, size_bytes_ - start));
    for (u64 at = 0; at < bytes.size();) {
      auto place = find_in(start + at, bytes.size() - at);
      if (!place) return place.error();
      const std::span<u8> one[] = {std::span(bytes).subspan(at, place->length_bytes)};
      EMU_TRY(read_place(*place, start + at, one));
      at += place->length_bytes;
    }
    copy_from_pieces(in, std::span(bytes).subspan(inside));
  }
  auto place = allocate(start / block_bytes_);
  if (!place) return place.error();
  EMU_TRY(bytes.empty() ? file_->write(*place + inside, in) : file_->write_flat(*place, bytes));
  table_dirty_ = true;
  return set_place(start / block_bytes_, *place);
}

Result<void> BlockTableImage::append_block(u64 block, std::span<const u8> bytes, u64& end) {
  const std::unique_lock lock(lock_);
  auto place = find(block * block_bytes_);
  if (!place) return place.error();
  if (place->stored == Stored::kData)
    return Error{EEXIST, file_->path() + ": compressed data can be written only once"};
  EMU_TRY(file_->write_flat(end, bytes));
  table_dirty_ = true;
  EMU_TRY(set_place(block, end));
  end += bytes.size();
  return {};
}

Result<void> BlockTableImage::write_zeroes(u64 offset, u64 length_bytes) {
  while (length_bytes != 0) {
    u64 n = 0;
    bool must_write = false;
    {
      const std::shared_lock lock(lock_);
      auto place = find_in(offset, length_bytes);
      if (!place) return place.error();
      n = place->length_bytes;
      must_write = (place->stored == Stored::kBelow && shows_backing(offset)) || place->packed;
      if (place->stored == Stored::kData && !place->packed)
        EMU_TRY(file_->write_zeroes(place->file_offset, n));
    }
    if (must_write) {
      std::vector<u8> zeros(n);
      const std::span<u8> one[] = {zeros};
      EMU_TRY(write(offset, one));
    }
    offset += n;
    length_bytes -= n;
  }
  return {};
}

Result<void> BlockTableImage::discard(u64 offset, u64 length_bytes) {
  const std::shared_lock lock(lock_);
  while (length_bytes != 0) {
    auto place = find_in(offset, length_bytes);
    if (!place) return place.error();
    if (place->stored == Stored::kData && !place->packed)
      EMU_TRY(file_->discard(place->file_offset, place->length_bytes));
    offset += place->length_bytes;
    length_bytes -= place->length_bytes;
  }
  return {};
}

Result<void> BlockTableImage::flush() {
  if (read_only()) return {};
  const std::unique_lock lock(lock_);
  return table_dirty_ ? commit() : file_->flush();
}

Result<void> BlockTableImage::commit() {
  EMU_TRY(file_->flush());
  EMU_TRY(write_table());
  table_dirty_ = false;
  return file_->flush();
}

Result<MapExtent> BlockTableImage::map(u64 offset, u64 max_bytes) {
  max_bytes = std::min(max_bytes, size_bytes_ - offset);
  const std::shared_lock lock(lock_);
  MapExtent extent;
  for (u64 done = 0; done < max_bytes;) {
    auto place = find_in(offset + done, max_bytes - done);
    if (!place) return place.error();
    const bool follows = extent.file_offset && !place->packed &&
                         place->file_offset == *extent.file_offset + extent.length_bytes;
    if (done != 0 && (place->stored != extent.stored || place->packed != extent.compressed ||
                      (place->stored == Stored::kData && !follows)))
      break;
    if (done == 0) {
      extent.stored = place->stored;
      extent.compressed = place->packed;
      if (place->stored == Stored::kData && !place->packed) extent.file_offset = place->file_offset;
    }
    done += place->length_bytes;
    extent.length_bytes = done;
  }
  return extent;
}

}  // namespace emu
