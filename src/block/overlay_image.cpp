// SPDX-License-Identifier: Apache-2.0
// Throw-away writes.
#include "block/overlay_image.h"

#include <algorithm>
#include <mutex>

namespace emu {

std::string OverlayImage::describe() const {
  std::string text = base_->describe();
  if (const auto at = text.rfind(", read-only)"); at != std::string::npos) text.erase(at);
  if (text.ends_with(')')) text.pop_back();
  return text + ", changes are thrown away)";
}

Result<void> OverlayImage::read(u64 offset, Pieces out) {
  PieceCursor cursor(out);
  const std::shared_lock lock(lock_);
  for (u64 left = total_bytes(out); left != 0;) {
    const u64 inside = offset % kSlotBytes;
    const u64 n = std::min(left, kSlotBytes - inside);
    const auto part = cursor.take(n);
    const auto slot = slot_of_.find(offset / kSlotBytes);
    EMU_TRY(slot == slot_of_.end() ? base_->read(offset, part)
                                   : scratch_->read(slot->second * kSlotBytes + inside, part));
    offset += n;
    left -= n;
  }
  return {};
}

bool OverlayImage::read_at_once(u64 offset, Pieces out) {
  PieceCursor cursor(out);
  const std::shared_lock lock(lock_, std::try_to_lock);
  if (!lock) return false;
  for (u64 left = total_bytes(out); left != 0;) {
    const u64 inside = offset % kSlotBytes;
    const u64 n = std::min(left, kSlotBytes - inside);
    const auto part = cursor.take(n);
    const auto slot = slot_of_.find(offset / kSlotBytes);
    const bool read = slot == slot_of_.end()
                          ? base_->read_at_once(offset, part)
                          : scratch_->read_at_once(slot->second * kSlotBytes + inside, part);
    if (!read) return false;
    offset += n;
    left -= n;
  }
  return true;
}

Result<void> OverlayImage::write(u64 offset, Pieces in) {
  PieceCursor cursor(in);
  const std::unique_lock lock(lock_);
  for (u64 left = total_bytes(in); left != 0;) {
    const u64 n = std::min(left, kSlotBytes - offset % kSlotBytes);
    EMU_TRY(write_slot(offset, cursor.take(n)));
    offset += n;
    left -= n;
  }
  return {};
}

Result<void> OverlayImage::write_slot(u64 offset, Pieces in) {
  const u64 piece = offset / kSlotBytes;
  const u64 inside = offset % kSlotBytes;
  if (const auto slot = slot_of_.find(piece); slot != slot_of_.end())
    return scratch_->write(slot->second * kSlotBytes + inside, in);
  const u64 slot = slot_of_.size();
  const u64 start = piece * kSlotBytes;
  std::vector<u8> bytes(std::min(kSlotBytes, size_bytes() - start));
  const std::span<u8> one[] = {bytes};
  if (total_bytes(in) != bytes.size()) EMU_TRY(base_->read(start, one));
  copy_from_pieces(in, std::span(bytes).subspan(inside));
  EMU_TRY(scratch_->write_flat(slot * kSlotBytes, bytes));
  slot_of_[piece] = slot;
  return {};
}

Result<void> OverlayImage::write_zeroes(u64 offset, u64 length_bytes) {
  std::vector<u8> zeros(std::min(length_bytes, kSlotBytes));
  while (length_bytes != 0) {
    const u64 n = std::min<u64>(length_bytes, zeros.size());
    const std::span<u8> one[] = {std::span(zeros).first(n)};
    EMU_TRY(write(offset, one));
    offset += n;
    length_bytes -= n;
  }
  return {};
}

}  // namespace emu
