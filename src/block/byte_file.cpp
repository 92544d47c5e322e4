// SPDX-License-Identifier: Apache-2.0
// Piece arithmetic shared by every layer.
#include "block/byte_file.h"

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace emu {

u64 total_bytes(Pieces pieces) {
  u64 total = 0;
  for (const auto& piece : pieces) total += piece.size();
  return total;
}

void zero_pieces(Pieces pieces) {
  for (const auto& piece : pieces) std::memset(piece.data(), 0, piece.size());
}

void copy_to_pieces(Pieces pieces, std::span<const u8> data) {
  for (const auto& piece : pieces) {
    const std::size_t n = std::min(piece.size(), data.size());
    if (n != 0) std::memcpy(piece.data(), data.data(), n);
    data = data.subspan(n);
  }
}

void copy_from_pieces(Pieces pieces, std::span<u8> data) {
  for (const auto& piece : pieces) {
    const std::size_t n = std::min(piece.size(), data.size());
    if (n != 0) std::memcpy(data.data(), piece.data(), n);
    data = data.subspan(n);
  }
}

std::vector<std::span<u8>> PieceCursor::take(u64 length_bytes) {
  std::vector<std::span<u8>> taken;
  while (length_bytes != 0) {
    EMU_CHECK(!pieces_.empty());
    const auto rest = pieces_.front().subspan(used_in_first_);
    const u64 n = std::min<u64>(rest.size(), length_bytes);
    if (n != 0) taken.push_back(rest.first(n));
    length_bytes -= n;
    used_in_first_ += n;
    if (used_in_first_ == pieces_.front().size()) {
      pieces_ = pieces_.subspan(1);
      used_in_first_ = 0;
    }
  }
  return taken;
}

bool is_all_zero(std::span<const u8> bytes) {
  // Most data shows itself in its first bytes; long zeros are compared with themselves, shifted.
  const std::size_t head = std::min<std::size_t>(bytes.size(), 16);
  for (const u8 b : bytes.first(head)) {
    if (b != 0) return false;
  }
  return bytes.size() <= 16 || std::memcmp(bytes.data(), bytes.data() + 16, bytes.size() - 16) == 0;
}

bool ByteFile::read_at_once(u64, Pieces) {
  return false;
}

std::optional<HostPlace> ByteFile::place(bool, u64, Pieces) {
  return std::nullopt;
}

Result<void> ByteFile::shrink(u64) {
  return fail_errno(ENOTSUP, "cannot cut off {}", path());
}

Result<StoredRange> ByteFile::find_stored(u64 offset) {
  return StoredRange{offset, std::max(offset, size_bytes())};
}

Result<void> ByteFile::read_flat(u64 offset, std::span<u8> out) {
  const std::span<u8> one[] = {out};
  return read(offset, one);
}

Result<void> ByteFile::write_flat(u64 offset, std::span<const u8> in) {
  // Writing never changes the pieces; they are mutable only because requests share one type.
  const std::span<u8> one[] = {std::span<u8>(const_cast<u8*>(in.data()), in.size())};
  return write(offset, one);
}

}  // namespace emu
