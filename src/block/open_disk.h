// SPDX-License-Identifier: Apache-2.0
// From a path on the command line to a disk.
#pragma once

#include <memory>
#include <string>

#include "block/block_backend.h"
#include "block/cache_mode.h"
#include "block/disk_image.h"
#include "block/probe.h"
#include "block/throttle_backend.h"

namespace emu {

struct DiskOptions {
  std::string path;
  DiskFormat format = DiskFormat::kAuto;
  bool read_only = false;
  // Writes go to a temporary file that vanishes; the image itself is opened read-only (--snapshot).
  bool throw_away_writes = false;
  // Off only for files that are known to be shared safely.
  bool lock = true;
  CacheMode cache = CacheMode::kWriteBack;
  // Nothing waits for stable storage, not even the order of metadata: for copies that can be made
  // again.
  bool never_flush = false;
  bool use_ring = true;  // io_uring, if the host has it
  // Of encrypted images. Without one they can be opened and tell about themselves, but not be read.
  std::string passphrase{};
  ThrottleLimits limits{};
  // Off: only this one file; what its backing image would show reads as zero.
  bool with_backing = true;
  // The id or name of an internal snapshot to be shown instead of the disk as it is (read-only).
  std::string snapshot{};
};

// Where the file lies that `image` calls `name`: relative names start at the image's folder.
[[nodiscard]] std::string resolve_name(const std::string& image, std::string name);

// Opens an image with its backing chain, under locks. Errors: one sentence that names the file and
// the fix.
[[nodiscard]] Result<std::unique_ptr<DiskImage>> open_image(const DiskOptions& options);

// The same behind the asynchronous door. Completions run through `executor`, which must outlive
// the backend.
[[nodiscard]] Result<std::unique_ptr<BlockBackend>> open_disk(const DiskOptions& options,
                                                              Executor& executor);

}  // namespace emu
