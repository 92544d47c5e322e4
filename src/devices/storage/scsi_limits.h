// SPDX-License-Identifier: Apache-2.0
// What a SCSI disk takes in one command; its block limits page (SBC-3 6.5.3) says so.
#pragma once

#include "base/types.h"

namespace emu::scsi {

inline constexpr u64 kDiskBlockBytes = 512;
inline constexpr u64 kMaxUnmapBlocks = u64{1} << 22;  // 2 GiB
inline constexpr u64 kMaxUnmapRanges = 256;
inline constexpr u64 kMaxWriteSameBlocks = u64{1} << 22;

}  // namespace emu::scsi
