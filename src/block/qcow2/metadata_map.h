// SPDX-License-Identifier: Apache-2.0
// Which host clusters hold live metadata, so that a damaged or hostile image cannot make guest data
// overwrite its tables.
#pragma once

#include <map>
#include <unordered_set>

#include "base/types.h"

namespace emu::qcow2 {

// Threads: guarded by the image's lock.
class MetadataMap {
 public:
  // Large tables. Overlapping additions merge.
  void add_range(u64 first_cluster, u64 clusters) {
    if (clusters == 0) return;
    u64& end = ranges_[first_cluster];
    if (end < first_cluster + clusters) end = first_cluster + clusters;
  }
  void remove_range(u64 first_cluster) { ranges_.erase(first_cluster); }
  // Single clusters: L2 tables and refcount blocks. False: already metadata.
  [[nodiscard]] bool add(u64 cluster) {
    return !in_range(cluster) && clusters_.insert(cluster).second;
  }
  void remove(u64 cluster) { clusters_.erase(cluster); }
  [[nodiscard]] bool contains(u64 cluster) const {
    return in_range(cluster) || clusters_.contains(cluster);
  }

 private:
  [[nodiscard]] bool in_range(u64 cluster) const {
    auto it = ranges_.upper_bound(cluster);
    return it != ranges_.begin() && cluster < (--it)->second;
  }
  std::map<u64, u64> ranges_;  // first -> end
  std::unordered_set<u64> clusters_;
};

}  // namespace emu::qcow2
