// SPDX-License-Identifier: Apache-2.0
// PCI configuration header and capability layout.
// Source: PCI Local Bus Specification 3.0, 6.1, 6.2, 6.8; PCI-to-PCI bridges are not modelled.
#pragma once

#include "base/types.h"
#include "devices/register_file.h"

namespace emu::pci {

// Type 0 header offsets (PCI 3.0, figure 6-1).
inline constexpr u32 kVendorId = 0x00, kDeviceId = 0x02, kCommand = 0x04, kStatus = 0x06,
                     kRevision = 0x08, kClass = 0x09, kHeaderType = 0x0e, kBar0 = 0x10,
                     kSubsystemVendor = 0x2c, kSubsystem = 0x2e, kRomBar = 0x30,
                     kCapabilities = 0x34, kInterruptLine = 0x3c, kInterruptPin = 0x3d;
inline constexpr u32 kConfigBytes = 256;

// Command (6.2.2).
inline constexpr u16 kCommandIo = 1 << 0, kCommandMemory = 1 << 1, kCommandMaster = 1 << 2,
                     kCommandParity = 1 << 6, kCommandSerr = 1 << 8, kCommandIntxDisable = 1 << 10;
// Status (6.2.3).
inline constexpr u16 kStatusInterrupt = 1 << 3, kStatusCapabilities = 1 << 4,
                     kStatusFastBackToBack = 1 << 7, kStatusDevselMedium = 1 << 9;
inline constexpr u16 kStatusErrors = 0xf900;  // write-1-clears

// Base address registers (6.2.5).
inline constexpr unsigned kBarCount = 6;
inline constexpr u32 kBarIo = 1 << 0, kBar64 = 1 << 2, kBarPrefetchable = 1 << 3;
inline constexpr u32 kRomEnable = 1 << 0;

inline constexpr u8 kHeaderMultiFunction = 0x80;

// Capability ids (appendix H).
inline constexpr u8 kCapabilityMsi = 0x05, kCapabilityVendor = 0x09, kCapabilityMsix = 0x11;

// Hooks of the common header; a device's own start at kHookDevice.
enum Hook : u8 { kHookNone, kHookCommand, kHookBars, kHookMsi, kHookMsix, kHookDevice = 8 };

// What every function has; identity and BARs are defined per device.
inline constexpr RegisterSpec kCommonHeader[] = {
    {kCommand, 2, "PCICMD", 0,
     kCommandIo | kCommandMemory | kCommandMaster | kCommandParity | kCommandSerr |
         kCommandIntxDisable,
     0, kHookCommand},
    {kStatus, 2, "PCISTS", 0, 0, kStatusErrors, 0},
    {0x0c, 1, "CLS", 0, 0xff, 0, 0},
    {0x0d, 1, "MLT", 0, 0xff, 0, 0},
    {kInterruptLine, 1, "INTLN", 0, 0xff, 0, 0},
};

// Device and function number as one byte: configuration mechanism 1's bits 15:8.
constexpr u8 devfn(unsigned device, unsigned function) {
  return static_cast<u8>((device << 3) | (function & 7));
}

}  // namespace emu::pci
