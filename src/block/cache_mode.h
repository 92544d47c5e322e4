// SPDX-License-Identifier: Apache-2.0
// What a guest's flushes and writes mean for stable storage.
// Source: qemu(1), "cache=".
#pragma once

#include "base/types.h"

namespace emu {

// kWriteBack: writes are stable after the next flush. kWriteThrough: a write completes when it is
// stable. kUnsafe: flushes do nothing; only the end of the machine flushes.
enum class CacheMode : u8 { kWriteBack, kWriteThrough, kUnsafe };

}  // namespace emu
