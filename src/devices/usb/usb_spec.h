// SPDX-License-Identifier: Apache-2.0
// Requests, descriptors and packet ids of USB.
// Source: USB 2.0 specification, chapters 8 (packets) and 9 (device framework); HID 1.11, 7.
#pragma once

#include "base/types.h"

namespace emu::usb {

// Packet ids of transactions (table 8-1).
enum class Token : u8 { kSetup = 0x2d, kIn = 0x69, kOut = 0xe1 };

// bmRequestType (table 9-2).
inline constexpr u8 kDirectionIn = 0x80, kTypeMask = 0x60, kTypeStandard = 0x00, kTypeClass = 0x20,
                    kRecipientMask = 0x1f, kToDevice = 0, kToInterface = 1, kToEndpoint = 2,
                    kToOther = 3;
// bRequest (table 9-4).
inline constexpr u8 kGetStatus = 0, kClearFeature = 1, kSetFeature = 3, kSetAddress = 5,
                    kGetDescriptor = 6, kGetConfiguration = 8, kSetConfiguration = 9,
                    kGetInterface = 10, kSetInterface = 11;
// Features (table 9-6).
inline constexpr u16 kEndpointHalt = 0, kRemoteWakeup = 1;
// Descriptor types (table 9-5; HID 7.1).
inline constexpr u8 kDeviceDescriptor = 1, kConfigurationDescriptor = 2, kStringDescriptor = 3,
                    kInterfaceDescriptor = 4, kEndpointDescriptor = 5, kHidDescriptor = 0x21,
                    kReportDescriptor = 0x22, kHubDescriptor = 0x29;
// What a bus runs at (9.2.6.6; the numbers are xHCI's, 7.2.1).
enum class Speed : u8 { kFull = 1, kHigh = 3 };
// Endpoint addresses and attributes (table 9-13).
inline constexpr u8 kEndpointIn = 0x80, kBulk = 2, kInterrupt = 3;

// The eight bytes of a SETUP packet (table 9-2).
struct Setup {
  u8 type = 0;
  u8 request = 0;
  u16 value = 0;
  u16 index = 0;
  u16 length = 0;
  // Type and request as one number, for switches.
  [[nodiscard]] constexpr u16 code() const { return static_cast<u16>(type << 8 | request); }
};

}  // namespace emu::usb
