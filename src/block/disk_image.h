// SPDX-License-Identifier: Apache-2.0
// The contents of a virtual disk, read and written in place: what image formats implement.
#pragma once

#include <string>

#include "base/result.h"
#include "block/byte_file.h"

namespace emu {

// Blocking; any thread may call any method at any time, also at once. The caller keeps every range
// inside [0, size_bytes()) and writes nothing to a read-only image; offsets and lengths are in
// bytes and need no alignment. Errors: the host's, or EIO for a damaged image.
class DiskImage {
 public:
  virtual ~DiskImage() = default;
  [[nodiscard]] virtual u64 size_bytes() const = 0;
  [[nodiscard]] virtual bool read_only() const = 0;
  // "disk.qcow2 (qcow2, 3.1 of 20 GiB)".
  [[nodiscard]] virtual std::string describe() const = 0;
  virtual Result<void> read(u64 offset, Pieces out) = 0;
  // Visible to later reads at once; on stable storage only after a later flush().
  virtual Result<void> write(u64 offset, Pieces in) = 0;
  virtual Result<void> write_zeroes(u64 offset, u64 length_bytes) = 0;
  // The range's contents no longer matter: it reads as zero or as before.
  virtual Result<void> discard(u64 offset, u64 length_bytes) = 0;
  virtual Result<void> flush() = 0;
};

// "20 GiB", "1.44 MiB", "512 bytes": for people.
[[nodiscard]] std::string size_text(u64 bytes);
// "3.1 of 20 GiB" in the unit of the larger one.
[[nodiscard]] std::string part_of_size_text(u64 part_bytes, u64 bytes);
// The path without its folders.
[[nodiscard]] std::string base_name(const std::string& path);

}  // namespace emu
