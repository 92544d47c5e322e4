// SPDX-License-Identifier: Apache-2.0
// The text that describes a VMware VMDK disk: which files hold which part of it.
// Source: VMware, "Virtual Disk Format 5.0": the descriptor file.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/types.h"

namespace emu::vmdk {

enum class ExtentKind : u8 { kSparse, kFlat, kZero };

struct ExtentLine {
  ExtentKind kind = ExtentKind::kSparse;
  bool writable = true;
  u64 size_bytes = 0;
  std::string file;      // relative to the descriptor; empty for kZero
  u64 offset_bytes = 0;  // kFlat: where the part begins in the file
};

struct Descriptor {
  std::string create_type;
  u32 cid = 0;
  std::string parent_file;  // of a differencing disk
  std::vector<ExtentLine> extents;
};

// Errors: no extents, a kind of extent that is not supported, sizes that cannot be. `path` is for
// messages.
[[nodiscard]] Result<Descriptor> parse_descriptor(std::string_view text, const std::string& path);

// The text for a disk of `size_bytes`, with the extents in order.
[[nodiscard]] std::string descriptor_text(const Descriptor& descriptor, u64 size_bytes);

}  // namespace emu::vmdk
