// SPDX-License-Identifier: Apache-2.0
// What a guest's flushes and writes mean for stable storage.
// Source: qemu(1), "cache=".
#pragma once

#include "base/types.h"

namespace emu {

// kWriteBack: writes are stable after the next flush. kWriteThrough: a write completes when it is
// stable. kUnsafe: flushes do nothing; only the end of the machine flushes. kNone and kDirectSync:
// as kWriteBack and kWriteThrough, with the guest's data past the host's page cache (O_DIRECT).
enum class CacheMode : u8 { kWriteBack, kWriteThrough, kUnsafe, kNone, kDirectSync };

[[nodiscard]] constexpr bool is_direct(CacheMode mode) {
  return mode == CacheMode::kNone || mode == CacheMode::kDirectSync;
}
[[nodiscard]] constexpr bool writes_through(CacheMode mode) {
  return mode == CacheMode::kWriteThrough || mode == CacheMode::kDirectSync;
}

}  // namespace emu
