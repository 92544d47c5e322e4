// SPDX-License-Identifier: Apache-2.0
// New images of every format that can be written, from options as text.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "block/probe.h"

namespace emu {

struct CreateRequest {
  std::string path;
  DiskFormat format = DiskFormat::kRaw;
  std::optional<u64> size_bytes{};                           // missing: that of the backing image
  std::vector<std::pair<std::string, std::string>> options;  // qemu-img's -o names
  std::string backing_file{};                                // as it will stand in the image
  std::string backing_format{};
  std::string passphrase{};   // encrypts; needed by luks, and by qcow2 with encrypt.format=luks
  bool check_backing = true;  // off: the backing file need not exist
};

// Makes the image, under a lock; an existing file is overwritten. Errors: an option that the format
// does not have (with those it has), a value out of range, a missing backing file; the host's.
[[nodiscard]] Result<void> create_image(const CreateRequest& request);

// What such an image would take: without data, and with every byte stored. Errors: as above.
struct MeasuredBytes {
  u64 empty = 0;
  u64 full = 0;
  u64 cluster_bytes = 1;
};
[[nodiscard]] Result<MeasuredBytes> measure_image(const CreateRequest& request);

// "20G", "1.5M", "4096", "0x1000" in bytes. Errors: not a size.
[[nodiscard]] Result<u64> parse_size(const std::string& text);

}  // namespace emu
