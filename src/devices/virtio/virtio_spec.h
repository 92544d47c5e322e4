// SPDX-License-Identifier: Apache-2.0
// Names and numbers of virtio.
// Source: Virtual I/O Device (VIRTIO) Version 1.2: 2.1 (status), 2.7 (split rings), 2.8 (packed
// rings), 4.1 (PCI), 6 (reserved features).
#pragma once

#include "base/types.h"

namespace emu::virtio {

// Device status (2.1).
inline constexpr u8 kAcknowledge = 1, kDriver = 2, kDriverOk = 4, kFeaturesOk = 8, kNeedsReset = 64,
                    kFailed = 128;

// Feature bits that belong to rings and transport (6).
inline constexpr u64 kFeatureIndirect = u64{1} << 28, kFeatureEventIndex = u64{1} << 29,
                     kFeatureVersion1 = u64{1} << 32, kFeaturePacked = u64{1} << 34;

// Descriptors (2.7.5, 2.8.13).
inline constexpr u16 kDescriptorNext = 1, kDescriptorWrite = 2, kDescriptorIndirect = 4;
inline constexpr u16 kPackedAvailable = 1 << 7, kPackedUsed = 1 << 15;
inline constexpr u64 kDescriptorBytes = 16;
// Split rings: flags of the available and the used ring.
inline constexpr u16 kAvailNoInterrupt = 1, kUsedNoNotify = 1;
// Packed rings: event suppression structures (2.8.14).
inline constexpr u16 kEventsEnable = 0, kEventsDisable = 1, kEventsDescriptor = 2;

// PCI (4.1.2, 4.1.4).
inline constexpr u16 kVendor = 0x1af4, kTransitionalBase = 0x1000, kModernBase = 0x1040;
inline constexpr u8 kCapCommon = 1, kCapNotify = 2, kCapIsr = 3, kCapDevice = 4, kCapPci = 5;
inline constexpr u16 kNoVector = 0xffff;
inline constexpr u8 kIsrQueue = 1, kIsrConfig = 2;

// Common configuration (4.1.4.3).
inline constexpr u32 kDeviceFeatureSelect = 0x00, kDeviceFeature = 0x04,
                     kDriverFeatureSelect = 0x08, kDriverFeature = 0x0c, kConfigVector = 0x10,
                     kNumQueues = 0x12, kDeviceStatus = 0x14, kConfigGeneration = 0x15,
                     kQueueSelect = 0x16, kQueueSize = 0x18, kQueueVector = 0x1a,
                     kQueueEnable = 0x1c, kQueueNotifyOff = 0x1e, kQueueDescriptors = 0x20,
                     kQueueDriver = 0x28, kQueueDevice = 0x30, kCommonBytes = 0x38;
// Legacy interface (4.1.4.10).
inline constexpr u32 kLegacyDeviceFeatures = 0x00, kLegacyDriverFeatures = 0x04,
                     kLegacyQueueAddress = 0x08, kLegacyQueueSize = 0x0c, kLegacyQueueSelect = 0x0e,
                     kLegacyQueueNotify = 0x10, kLegacyStatus = 0x12, kLegacyIsr = 0x13,
                     kLegacyConfigVector = 0x14, kLegacyQueueVector = 0x16;
inline constexpr u32 kLegacyHeaderBytes = 0x14, kLegacyMsixHeaderBytes = 0x18;
inline constexpr u64 kLegacyQueueAlignment = 4096;

// Device types (5).
inline constexpr u16 kTypeNet = 1, kTypeBlock = 2, kTypeConsole = 3, kTypeEntropy = 4,
                     kTypeBalloon = 5, kTypeScsi = 8, kType9p = 9, kTypeGpu = 16, kTypeInput = 18;

}  // namespace emu::virtio
