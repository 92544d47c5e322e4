// SPDX-License-Identifier: Apache-2.0
// What `emu img info` tells about one image file.
#pragma once

#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/types.h"

namespace emu {

// An internal snapshot as people see it.
struct SnapshotInfo {
  std::string id;
  std::string name;
  u64 vm_state_bytes = 0;
  u64 disk_bytes = 0;
  u32 date_s = 0;  // since 1970
  u32 date_ns = 0;
  u64 vm_clock_ns = 0;
};

// A record of which parts of the disk were written to.
struct BitmapInfo {
  std::string name;
  u64 granularity_bytes = 0;
  bool is_in_use = false;  // by a writer now, or by one that crashed
  bool records = false;
};

using InfoValue = std::variant<bool, u64, std::string>;

struct ImageInfo {
  std::string file;
  std::string format;
  u64 virtual_bytes = 0;
  u64 actual_bytes = 0;      // of host storage
  u64 cluster_bytes = 0;     // 0: the format has none
  std::string backing_file;  // as written in the image
  std::string backing_format;
  bool is_dirty = false;
  bool is_encrypted = false;
  bool is_packed = false;  // takes whole compressed clusters only
  std::vector<SnapshotInfo> snapshots;
  std::vector<BitmapInfo> bitmaps;
  // What only this format has, under qemu-img's names.
  std::vector<std::pair<std::string, InfoValue>> details;
};

}  // namespace emu
