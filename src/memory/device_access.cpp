// SPDX-License-Identifier: Apache-2.0
// Splitting and widening of device accesses. See device_access.h.
// Threads: the machine lock is held by every caller.
#include "memory/device_access.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/bits.h"

namespace emu {
namespace {

// The device access for the first byte of what remains: it covers [offset, offset + size) and
// serves `used` bytes of the guest's, the first of them `skip` bytes in.
struct Step {
  u64 offset;
  unsigned size;
  unsigned skip;
  unsigned used;
};

Step next_step(AccessSizes sizes, u64 offset, u64 remaining) {
  const unsigned limit = static_cast<unsigned>(std::min<u64>(remaining, sizes.max_bytes));
  unsigned size = std::bit_floor(limit);
  if (!sizes.unaligned && offset != 0)
    size = std::min(size, 1U << std::min(std::countr_zero(offset), 3));
  if (size >= sizes.min_bytes) return {offset, size, 0, size};
  const u64 aligned = align_down(offset, sizes.min_bytes);
  const unsigned skip = static_cast<unsigned>(offset - aligned);
  const unsigned used = static_cast<unsigned>(std::min<u64>(remaining, sizes.min_bytes - skip));
  return {aligned, sizes.min_bytes, skip, used};
}

}  // namespace

void device_read(const DeviceWindow& window, u64 offset, std::span<u8> out) {
  while (!out.empty()) {
    const Step step = next_step(window.sizes, offset, out.size());
    const u64 value = window.handler.read(step.offset, step.size) >> (8 * step.skip);
    std::memcpy(out.data(), &value, step.used);
    out = out.subspan(step.used);
    offset += step.used;
  }
}

void device_write(const DeviceWindow& window, u64 offset, std::span<const u8> in) {
  while (!in.empty()) {
    const Step step = next_step(window.sizes, offset, in.size());
    u64 value = 0;
    std::memcpy(&value, in.data(), step.used);
    window.handler.write(step.offset, step.size, value << (8 * step.skip));
    in = in.subspan(step.used);
    offset += step.used;
  }
}

}  // namespace emu
