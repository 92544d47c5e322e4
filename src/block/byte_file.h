// SPDX-License-Identifier: Apache-2.0
// The layer below image formats: a flat, growing array of bytes that survives, usually a host file.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/types.h"

namespace emu {

// Memory in pieces, in order; together one transfer.
using Pieces = std::span<const std::span<u8>>;

// Sum of the pieces' sizes.
[[nodiscard]] u64 total_bytes(Pieces pieces);
// Fills all pieces with zeros.
void zero_pieces(Pieces pieces);
// Copies min(total, data.size()) bytes between pieces and one flat buffer.
void copy_to_pieces(Pieces pieces, std::span<const u8> data);
void copy_from_pieces(Pieces pieces, std::span<u8> data);

// Walks pieces front to back, handing out the next bytes as pieces of their own.
class PieceCursor {
 public:
  explicit PieceCursor(Pieces pieces) : pieces_(pieces) {}
  // The next `length_bytes`, which must not exceed what is left.
  [[nodiscard]] std::vector<std::span<u8>> take(u64 length_bytes);

 private:
  Pieces pieces_;
  u64 used_in_first_ = 0;
};

// [start, end) in bytes.
struct StoredRange {
  u64 start = 0;
  u64 end = 0;
};

// Whether every byte is zero.
[[nodiscard]] bool is_all_zero(std::span<const u8> bytes);

// Bytes of a host file that a transfer may move by itself.
struct HostPlace {
  int fd = -1;
  u64 offset = 0;
};

// Blocking; any thread may call any method at any time. Offsets and sizes in bytes.
class ByteFile {
 public:
  virtual ~ByteFile() = default;
  // What messages call it.
  [[nodiscard]] virtual const std::string& path() const = 0;
  [[nodiscard]] virtual bool read_only() const = 0;
  // Current length.
  [[nodiscard]] virtual u64 size_bytes() const = 0;
  // Bytes of host storage in use.
  [[nodiscard]] virtual u64 allocated_bytes() const = 0;
  // Fills `out`; bytes past the end read as zero. Errors: the host's.
  virtual Result<void> read(u64 offset, Pieces out) = 0;
  // Fills `out` if that needs no waiting, because the host has the bytes in memory. False: it does
  // not; `out` may be partly filled.
  [[nodiscard]] virtual bool read_at_once(u64 offset, Pieces out);
  // Where a transfer of `pieces` goes in a host file, if the host does it better asynchronously.
  [[nodiscard]] virtual std::optional<HostPlace> place(bool is_write, u64 offset, Pieces pieces);
  // Writes all of `in`, growing the file. Errors: the host's; part may have been written.
  virtual Result<void> write(u64 offset, Pieces in) = 0;
  // The range inside the file reads as zero afterwards.
  virtual Result<void> write_zeroes(u64 offset, u64 length_bytes) = 0;
  // Gives the range's storage back; it then reads as zero or unchanged. Never fails for lack of
  // support.
  virtual Result<void> discard(u64 offset, u64 length_bytes) = 0;
  // Grows the file with zeros.
  virtual Result<void> grow(u64 size_bytes) = 0;
  // Cuts the file off. Errors: the host's; ENOTSUP where that cannot be done.
  virtual Result<void> shrink(u64 size_bytes);
  // The next stretch of bytes at or after `offset` that the host stores; everything before it is a
  // hole and reads as zero. Empty, at the file's end: only holes follow. Files that cannot tell
  // call everything stored.
  virtual Result<StoredRange> find_stored(u64 offset);
  // Everything written before the call is on stable storage when it returns success.
  virtual Result<void> flush() = 0;

  // The same with one flat buffer.
  Result<void> read_flat(u64 offset, std::span<u8> out);
  Result<void> write_flat(u64 offset, std::span<const u8> in);
};

}  // namespace emu
