// SPDX-License-Identifier: Apache-2.0
// Names and numbers of NVM Express.
// Source: NVM Express Base Specification 1.4: 3.1 (registers), 4.4 (SGL), 4.6 (status), 5, 6.
#pragma once

#include "base/types.h"

namespace emu::nvme {

// Registers (3.1).
inline constexpr u32 kCap = 0x00, kVs = 0x08, kIntms = 0x0c, kIntmc = 0x10, kCc = 0x14,
                     kCsts = 0x1c, kAqa = 0x24, kAsq = 0x28, kAcq = 0x30, kDoorbells = 0x1000;
inline constexpr u32 kVersion = 0x00010400;
inline constexpr u32 kCcEnable = 1, kCstsReady = 1, kCstsFatal = 2, kCstsShutDown = 2 << 2;

inline constexpr u64 kCommandBytes = 64, kCompletionBytes = 16;

// Admin commands (5).
inline constexpr u8 kDeleteSq = 0x00, kCreateSq = 0x01, kGetLogPage = 0x02, kDeleteCq = 0x04,
                    kCreateCq = 0x05, kIdentify = 0x06, kAbort = 0x08, kSetFeatures = 0x09,
                    kGetFeatures = 0x0a, kAsyncEvent = 0x0c;
// I/O commands (6).
inline constexpr u8 kFlush = 0x00, kWrite = 0x01, kRead = 0x02, kWriteZeroes = 0x08,
                    kDatasetManagement = 0x09;
inline constexpr u8 kFeatureWriteCache = 0x06, kFeatureQueues = 0x07;
inline constexpr u32 kFeatureCount = 0x0c;

// Status: type in bits 8-10, code below; "do not retry" is bit 14 (4.6.1).
inline constexpr u16 kDnr = 0x4000;
inline constexpr u16 kSuccess = 0, kInvalidOpcode = 0x01 | kDnr, kInvalidField = 0x02 | kDnr,
                     kTransferError = 0x04, kInternalError = 0x06, kAbortedByDeletion = 0x08,
                     kInvalidNamespace = 0x0b | kDnr, kSglCount = 0x0e | kDnr,
                     kSglLength = 0x0f | kDnr, kSglType = 0x11 | kDnr, kPrpOffset = 0x13 | kDnr,
                     kLbaRange = 0x80 | kDnr, kBadCq = 0x100 | kDnr, kBadQueue = 0x101 | kDnr,
                     kBadQueueSize = 0x102 | kDnr, kTooManyEvents = 0x105 | kDnr,
                     kBadVector = 0x108 | kDnr, kBadLogPage = 0x109 | kDnr,
                     kBadDeletion = 0x10c | kDnr, kReadOnlyRange = 0x182 | kDnr,
                     kWriteFault = 0x280, kReadError = 0x281;

inline constexpr u32 kForceUnitAccess = 1u << 30;
inline constexpr u32 kDeallocate = 1u << 2;

}  // namespace emu::nvme
