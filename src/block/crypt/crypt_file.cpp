// SPDX-License-Identifier: Apache-2.0
#include "block/crypt/crypt_file.h"

#include <algorithm>
#include <cerrno>

#include "base/bits.h"

namespace emu::crypt {
namespace {

constexpr u64 kBytesAtOnce = 256 * kKiB;

bool is_whole_sectors(u64 offset, Pieces pieces) {
  return offset % kSectorBytes == 0 && std::ranges::all_of(pieces, [](std::span<u8> piece) {
           return piece.size() % kSectorBytes == 0;
         });
}

}  // namespace

u64 CryptFile::size_bytes() const {
  const u64 inner = inner_.size_bytes();
  return inner > start_ ? inner - start_ : 0;
}

Result<void> CryptFile::need_key() const {
  if (cipher_) return {};
  return Error{EACCES, fmt::format("{} is encrypted, and no key was given; add key-file=FILE to "
                                   "the drive, or --key-file FILE",
                                   path())};
}

void CryptFile::decrypt(u64 offset, Pieces pieces) const {
  u64 sector = offset / kSectorBytes;
  for (const std::span<u8> piece : pieces) {
    cipher_->decrypt(sector, piece);
    sector += piece.size() / kSectorBytes;
  }
}

Result<void> CryptFile::read(u64 offset, Pieces out) {
  EMU_TRY(need_key());
  if (!is_whole_sectors(offset, out)) return read_odd(offset, out);
  EMU_TRY(inner_.read(start_ + offset, out));
  decrypt(offset, out);
  return {};
}

bool CryptFile::read_at_once(u64 offset, Pieces out) {
  if (!cipher_ || !is_whole_sectors(offset, out)) return false;
  if (!inner_.read_at_once(start_ + offset, out)) return false;
  decrypt(offset, out);
  return true;
}

// Through a buffer of whole sectors.
Result<void> CryptFile::read_odd(u64 offset, Pieces out) {
  PieceCursor cursor(out);
  for (u64 left = total_bytes(out); left != 0;) {
    const u64 from = align_down(offset, kSectorBytes);
    const u64 n = std::min(left, kBytesAtOnce - (offset - from));
    std::vector<u8> bytes(align_up(offset + n, kSectorBytes) - from);
    EMU_TRY(inner_.read_flat(start_ + from, bytes));
    cipher_->decrypt(from / kSectorBytes, bytes);
    copy_to_pieces(cursor.take(n), std::span<const u8>(bytes).subspan(offset - from, n));
    offset += n;
    left -= n;
  }
  return {};
}

Result<void> CryptFile::write(u64 offset, Pieces in) {
  EMU_TRY(need_key());
  u64 left = total_bytes(in);
  PieceCursor cursor(in);
  if (const u64 odd = std::min(left, (kSectorBytes - offset % kSectorBytes) % kSectorBytes);
      odd != 0) {
    EMU_TRY(write_odd(offset, cursor.take(odd)));
    offset += odd;
    left -= odd;
  }
  const u64 whole = align_down(left, kSectorBytes);
  EMU_TRY(write_sectors(offset, cursor, whole));
  if (left == whole) return {};
  return write_odd(offset + whole, cursor.take(left - whole));
}

// The caller's memory stays as it is: it may be a guest's.
Result<void> CryptFile::write_sectors(u64 offset, PieceCursor& cursor, u64 length_bytes) {
  std::vector<u8> bytes(std::min(length_bytes, kBytesAtOnce));
  while (length_bytes != 0) {
    const auto part = std::span(bytes).first(std::min<u64>(length_bytes, bytes.size()));
    copy_from_pieces(cursor.take(part.size()), part);
    cipher_->encrypt(offset / kSectorBytes, part);
    EMU_TRY(inner_.write_flat(start_ + offset, part));
    offset += part.size();
    length_bytes -= part.size();
  }
  return {};
}

// Inside one sector.
Result<void> CryptFile::write_odd(u64 offset, Pieces in) {
  const std::lock_guard lock(odd_writes_);
  const u64 from = align_down(offset, kSectorBytes);
  std::vector<u8> sector(kSectorBytes);
  EMU_TRY(inner_.read_flat(start_ + from, sector));
  cipher_->decrypt(from / kSectorBytes, sector);
  copy_from_pieces(in, std::span(sector).subspan(offset - from));
  cipher_->encrypt(from / kSectorBytes, sector);
  return inner_.write_flat(start_ + from, sector);
}

Result<void> CryptFile::write_zeroes(u64 offset, u64 length_bytes) {
  std::vector<u8> zeros(std::min(length_bytes, kBytesAtOnce));
  while (length_bytes != 0) {
    const u64 n = std::min<u64>(length_bytes, zeros.size());
    EMU_TRY(write_flat(offset, std::span(zeros).first(n)));
    offset += n;
    length_bytes -= n;
  }
  return {};
}

}  // namespace emu::crypt
