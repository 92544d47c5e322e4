// SPDX-License-Identifier: Apache-2.0
// Turns a region tree into the sorted, disjoint ranges that an access sees.
// Source: QEMU docs/devel/memory.rst, "Visibility" (highest priority first, each node fills what is
// still free of its window; a container's own range is filled last).
// Threads: the machine lock is held by every caller.
#pragma once

#include <vector>

#include "memory/address_space.h"

namespace emu {

class Flattener {
 public:
  // Deeper trees are taken for a cycle of aliases: our mistake.
  static constexpr int kMaxDepth = 64;

  // The ranges of the space whose byte 0 is `root`'s byte 0; neighbours that continue each other
  // are one range. `root` may be null: an empty space.
  [[nodiscard]] static std::vector<FlatRange> flatten(const Region* root);

 private:
  // Positions on the address line. Signed and wide: an alias of the end of a large region places
  // that region's start below zero.
  struct Window {
    i128 from;
    i128 to;
  };
  struct Place {
    i128 base;  // where the region's byte 0 is
    Window clip;
    bool read_only;
    int depth;
  };

  void render(const Region& region, Place place);
  void fill_free(const Region& region, const Place& place);
  [[nodiscard]] static FlatRange piece(const Region& region, const Place& place, Window window);
  void merge_neighbours();

  std::vector<FlatRange> ranges_;  // sorted, disjoint
};

}  // namespace emu
