// SPDX-License-Identifier: Apache-2.0
// Copying and comparing what disks hold, skipping what is known to be zero.
#pragma once

#include <optional>

#include "block/disk_image.h"
#include "cli/img/progress.h"

namespace emu::cli::img {

struct CopyOptions {
  u64 target_offset = 0;
  bool target_is_zero = true;  // zeros need not be written
  bool compressed = false;
  u64 cluster_bytes = 64 * kKiB;  // the target's; what is compressed is one of these
  u64 sparse_bytes = 4 * kKiB;    // so many zeros in a row are not written; 0: write everything
  bool skip_backing = false;      // only what the source itself stores
  bool salvage = false;           // what cannot be read becomes zeros
  unsigned threads = 2;
};

// Copies the whole source. Errors: either image's.
[[nodiscard]] Result<void> copy_disk(DiskImage& source, DiskImage& target,
                                     const CopyOptions& options, Progress& progress);

// The first byte where the two differ, up to the end of the shorter; nothing: they are equal.
[[nodiscard]] Result<std::optional<u64>> first_difference(DiskImage& a, DiskImage& b,
                                                          Progress& progress);

// Whether everything from `offset` on reads as zero; else where it does not.
[[nodiscard]] Result<std::optional<u64>> first_nonzero(DiskImage& image, u64 offset);

// The length of the stretch from `offset`, of at most `max_bytes`, and whether it is known to be
// zero.
struct Known {
  u64 length_bytes = 0;
  bool is_zero = false;
};
[[nodiscard]] Result<Known> what_is_at(DiskImage& image, u64 offset, u64 max_bytes);

}  // namespace emu::cli::img
