// SPDX-License-Identifier: Apache-2.0
// A host folder as FAT sees it: which files and folders there are, and their directories' bytes.
// Links and things that are neither file nor folder are left out, so nothing outside shows.
// Source: Microsoft "FAT: General Overview of On-Disk Format" 1.03 (directory entries, long names).
#pragma once

#include <ctime>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/types.h"

namespace emu::fat {

inline constexpr u64 kMaxNodes = 65536;
inline constexpr unsigned kMaxDepth = 32;
inline constexpr u64 kMaxFileBytes = 0xffffffff;     // what a directory entry can say
inline constexpr u64 kMaxDirectoryBytes = 2 * kMiB;  // 65,536 entries
inline constexpr u64 kEntryBytes = 32;

// A file or folder; number 0 is the root. Children stand together, sorted by name.
struct Node {
  std::string name;        // on the host; of the root empty
  std::size_t parent = 0;  // its number
  bool is_folder = false;
  u64 size_bytes = 0;  // of a file, when it was looked at
  std::time_t changed_s = 0;
  std::vector<std::size_t> children;
  std::vector<u8> directory;  // of a folder: its entries, places still missing
  std::vector<u64> entry_at;  // where in it each child's short entry stands
  u32 first_cluster = 0;      // 0: none
  u32 clusters = 0;
};

// Everything below the folder `root_fd`, whose path is only for messages. Errors: more files,
// deeper folders or larger files than fit; the host's.
[[nodiscard]] Result<std::vector<Node>> read_tree(int root_fd, const std::string& path);

// Gives every folder its directory's bytes. Errors: too many names in one folder.
[[nodiscard]] Result<void> make_directories(std::vector<Node>& nodes, const std::string& path);

// Puts a cluster number into a short entry.
void set_first_cluster(u8* entry, u32 cluster);

}  // namespace emu::fat
