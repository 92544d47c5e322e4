// SPDX-License-Identifier: Apache-2.0
// Checking and repairing a qcow2 image that nobody uses meanwhile.
// Source: qcow2 spec: refcounts, "copied" flags, dirty and corrupt bits; qemu-img(1) "check".
#pragma once

#include <string>
#include <vector>

#include "block/qcow2/qcow2_header.h"

namespace emu::qcow2 {

enum class RepairMode : u8 { kNone, kLeaks, kAll };

struct CheckResult {
  std::vector<std::string> problems;  // the first hundred, a sentence each
  u64 corruptions = 0;                // as the image is now
  u64 leaks = 0;
  u64 corruptions_fixed = 0;
  u64 leaks_fixed = 0;
  u64 allocated_clusters = 0;  // of the disk
  u64 total_clusters = 0;
  u64 compressed_clusters = 0;
  u64 fragmented_clusters = 0;
  u64 end_offset = 0;  // no used cluster lies at or behind it
};

// Follows every reference and compares with the refcounts; repairs as `mode` allows, for which the
// file must be writable. Errors: the host's; tables that cannot be followed at all.
[[nodiscard]] Result<CheckResult> check_image(ByteFile& file, const Header& header,
                                              RepairMode mode);

// Rebuilds the refcounts and "copied" flags of an image whose dirty bit is set, then clears the
// bit. Errors: the host's; tables outside the file.
[[nodiscard]] Result<void> repair_refcounts(ByteFile& file, const Header& header);

// Whether some cluster that the active L1 table leads to starts beyond the file's end.
[[nodiscard]] Result<bool> is_truncated(ByteFile& file, const Header& header);

}  // namespace emu::qcow2
