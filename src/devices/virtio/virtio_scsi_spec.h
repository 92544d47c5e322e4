// SPDX-License-Identifier: Apache-2.0
// Names and numbers of the virtio SCSI host device.
// Source: VIRTIO 1.2: 5.6.3 (features), 5.6.4 (configuration), 5.6.6 (operation).
#pragma once

#include "base/types.h"

namespace emu::virtio_scsi {

// Features.
inline constexpr u64 kFeatureInOut = 1u << 0, kFeatureChange = 1u << 2;

// The configuration's fields that a driver may write.
inline constexpr u64 kSenseSizeAt = 20, kCommandSizeAt = 24;
inline constexpr u32 kSenseBytes = 96, kCommandBytes = 32;

// Requests: unit (8 bytes), tag (8), attribute, priority, reference; then the command. Responses:
// length of the sense data (4), residual (4), status qualifier (2), status, response; then sense.
inline constexpr u64 kHeaderBytes = 19, kResponseBytes = 12;

// Responses, to requests and to task management.
inline constexpr u8 kOk = 0, kOverrun = 1, kAborted = 2, kBadTarget = 3, kReset = 4, kFailure = 9,
                    kFunctionSucceeded = 10, kFunctionRejected = 11, kIncorrectLun = 12;

// Control requests: type (4 bytes), then task management's subtype (4), unit (8), tag (8), or
// asynchronous notifications' unit (8) and events (4).
inline constexpr u32 kTaskManagement = 0, kEventQuery = 1, kEventSubscribe = 2;
inline constexpr u64 kTaskManagementBytes = 24, kEventRequestBytes = 16;
inline constexpr u32 kAbortTask = 0, kAbortTaskSet = 1, kClearAca = 2, kClearTaskSet = 3,
                     kNexusReset = 4, kLogicalUnitReset = 5, kQueryTask = 6, kQueryTaskSet = 7;

// Events: event (4 bytes), unit (8), reason (4).
inline constexpr u64 kEventBytes = 16;
inline constexpr u32 kEventNone = 0, kEventNotify = 2, kEventParameters = 3,
                     kEventsMissed = 0x8000'0000;
inline constexpr u32 kMediaChange = 16;  // an asynchronous notification's reason

}  // namespace emu::virtio_scsi
