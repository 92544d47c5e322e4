// SPDX-License-Identifier: Apache-2.0
// Bounds-checked access to a card's video memory, which guests write at the same time.
// Threads: any; what races with a guest's write sees the old or the new bytes.
#pragma once

#include <cstring>
#include <span>

#include "base/bits.h"
#include "memory/guest_ram.h"

namespace emu {

class VideoMemory {
 public:
  explicit VideoMemory(GuestRam& ram) : ram_(ram), size_bytes_(ram.size_bytes()) {}

  [[nodiscard]] u64 size_bytes() const { return size_bytes_; }
  [[nodiscard]] GuestRam& ram() const { return ram_; }

  // The little-endian 32-bit word at byte `offset`; 0 if it is not all inside.
  [[nodiscard]] u32 word(u64 offset) const {
    // SAFETY: the range is checked; the mapping lives as long as the GuestRam.
    return range_fits(offset, 4, size_bytes_) ? load_le<u32>(ram_.host() + offset) : 0;
  }
  // Replaces the bits of `mask` in the word at `offset` by those of `value`; nothing if outside.
  void update_word(u64 offset, u32 mask, u32 value) const {
    if (!range_fits(offset, 4, size_bytes_)) return;
    // SAFETY: as above.
    u8* const at = ram_.host() + offset;
    store_le<u32>(at, (load_le<u32>(at) & ~mask) | (value & mask));
    ram_.mark_written(offset, 4);
  }
  // The bytes [offset, offset + length); empty if they are not all inside.
  [[nodiscard]] std::span<const u8> bytes(u64 offset, u64 length) const {
    if (!range_fits(offset, length, size_bytes_)) return {};
    // SAFETY: as above.
    return {ram_.host() + offset, length};
  }
  // Puts `data` at `offset`; nothing if it is not all inside.
  void write(u64 offset, std::span<const u8> data) const {
    if (data.empty() || !range_fits(offset, data.size(), size_bytes_)) return;
    // SAFETY: as above; `data` is not video memory.
    std::memcpy(ram_.host() + offset, data.data(), data.size());
    ram_.mark_written(offset, data.size());
  }
  // Zeroes the first `length` bytes (at most all).
  void clear(u64 length) const {
    if (length == 0 || length > size_bytes_) return;
    // SAFETY: the length is checked.
    std::memset(ram_.host(), 0, length);
    ram_.mark_written(0, length);
  }

 private:
  GuestRam& ram_;
  u64 size_bytes_;
};

}  // namespace emu
