// SPDX-License-Identifier: Apache-2.0
// The contents of a virtual disk, read and written in place: what image formats implement.
#pragma once

#include <optional>
#include <string>

#include "base/result.h"
#include "block/byte_file.h"
#include "block/image_info.h"

namespace emu {

// How an image stores a stretch of its disk.
enum class Stored : u8 {
  kData,   // here
  kZero,   // here, as "reads as zero"
  kBelow,  // not here: the backing image shows, or zeros where there is none
};

struct MapExtent {
  Stored stored = Stored::kData;
  bool compressed = false;
  u64 length_bytes = 0;            // at least 1
  std::optional<u64> file_offset;  // of its first byte, where it lies in the file as it is
};

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
  // As read(), if that needs no waiting for the host or for another thread. False: it does; `out`
  // may be partly filled.
  [[nodiscard]] virtual bool read_at_once(u64 offset, Pieces out);
  // Where a whole transfer goes in one host file as it is, if the image has nothing more to do for
  // it and the host does it better asynchronously.
  [[nodiscard]] virtual std::optional<HostPlace> place(bool is_write, u64 offset, Pieces pieces);
  // Visible to later reads at once; on stable storage only after a later flush().
  virtual Result<void> write(u64 offset, Pieces in) = 0;
  virtual Result<void> write_zeroes(u64 offset, u64 length_bytes) = 0;
  // The range's contents no longer matter: it reads as zero or as before.
  virtual Result<void> discard(u64 offset, u64 length_bytes) = 0;
  virtual Result<void> flush() = 0;

  // How the stretch that begins at `offset` is stored, for at most `max_bytes`. Formats that do not
  // know call everything data.
  virtual Result<MapExtent> map(u64 offset, u64 max_bytes);
  // The image whose contents show through, or null.
  [[nodiscard]] virtual DiskImage* backing() { return nullptr; }
  // What is known about the image itself.
  [[nodiscard]] virtual ImageInfo info() const = 0;
  // Changes the size of the disk; a new part reads as zero. Errors: the host's, ENOTSUP.
  virtual Result<void> resize(u64 size_bytes);
  // Stores a whole cluster (or the disk's last part of one) compressed if that saves space. Errors:
  // as write(); ENOTSUP.
  virtual Result<void> write_compressed(u64 offset, std::span<const u8> cluster);
  // Forgets everything stored here, so that the backing image shows. Errors: the host's, ENOTSUP.
  virtual Result<void> make_empty();
};

// As map(), through the whole chain of backing images: never Stored::kBelow. `depth` counts the
// images above the one that stores the stretch.
struct ChainExtent {
  MapExtent extent;
  unsigned depth = 0;
  bool present = false;  // some image of the chain stores it
};
[[nodiscard]] Result<ChainExtent> map_chain(DiskImage& image, u64 offset, u64 max_bytes);

// "20 GiB", "1.44 MiB", "512 bytes": for people.
[[nodiscard]] std::string size_text(u64 bytes);
// "3.1 of 20 GiB" in the unit of the larger one.
[[nodiscard]] std::string part_of_size_text(u64 part_bytes, u64 bytes);
// The path without its folders.
[[nodiscard]] std::string base_name(const std::string& path);

}  // namespace emu
