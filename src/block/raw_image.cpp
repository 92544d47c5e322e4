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

Result<void> RawImage::write(u64 offset, Pieces in) {
  if (is_guess_ && offset < kProbeBytes) EMU_TRY(refuse_disguise(offset, in));
  return file_->write(offset, in);
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
