// SPDX-License-Identifier: Apache-2.0
// The packet protocol of CD and DVD drives; their commands are in scsi_spec.h.
// Source: SFF-8020i; ATA/ATAPI-7 volume 1 6.32; MMC-3 (T10/1363D).
#pragma once

#include "base/types.h"

namespace emu::atapi {

inline constexpr u64 kPacketBytes = 12;
inline constexpr u64 kBlockBytes = 2048;
inline constexpr u64 kRawBlockBytes = 2352;

// Interrupt reason, in the sector count register.
inline constexpr u8 kReasonCommand = 0x01;
inline constexpr u8 kReasonToHost = 0x02;

}  // namespace emu::atapi
