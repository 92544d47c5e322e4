// SPDX-License-Identifier: Apache-2.0
// What a device shows to the bus: registers at offsets.
#pragma once

#include <span>

#include "base/types.h"

namespace emu {

// A window of device registers. Offsets are relative to the window; the handler does not know where
// it sits. The bus guarantees that `size` (1, 2, 4 or 8 bytes) is one the window's AccessSizes
// allows, that the access is aligned if that asks for it and that [offset, offset + size) lies
// inside the window.
// Threads: the machine lock is held by every caller.
class IoHandler {
 public:
  virtual ~IoHandler() = default;
  // The register's value, zero-extended. Reads may have side effects.
  [[nodiscard]] virtual u64 read(u64 offset, unsigned size) = 0;
  // `value` is zero-extended from `size` bytes.
  virtual void write(u64 offset, unsigned size, u64 value) = 0;
  // A run of reads (writes) of the one register at `offset`, `size` bytes each, as string
  // instructions make them: fills (takes) a beginning of the bytes and returns how many. 0: nothing
  // was done and the caller makes the accesses one by one. Never remaps memory.
  [[nodiscard]] virtual u64 read_string(u64 /*offset*/, unsigned /*size*/, std::span<u8> /*out*/) {
    return 0;
  }
  [[nodiscard]] virtual u64 write_string(u64 /*offset*/, unsigned /*size*/,
                                         std::span<const u8> /*in*/) {
    return 0;
  }
};

// Which accesses a window implements; the bus splits or widens the others. Powers of two.
struct AccessSizes {
  u8 min_bytes = 1;
  u8 max_bytes = 4;
  bool unaligned = false;

  bool operator==(const AccessSizes&) const = default;
};

}  // namespace emu
