// SPDX-License-Identifier: Apache-2.0
// Keyboard scan codes: USB HID usages to sets 2 and 3, and the 8042's translation of set 2 to 1.
// Source: Microsoft "USB HID to PS/2 Scan Code Translation Table" (1.0a, 2004); IBM PS/2 Hardware
// Interface Technical Reference, "Scan code tables"; HID Usage Tables 1.4, section 10.
#pragma once

#include <span>

#include "base/types.h"
#include "devices/ports/input.h"

namespace emu {

// How one key identifies itself. All zero: the key does not exist on a PS/2 keyboard.
struct KeyScanCodes {
  u8 set2 = 0;
  bool extended = false;  // set 2: preceded by E0
  u8 set3 = 0;
};

// Keys whose codes depend on others, or repeat in no regular way.
inline constexpr KeyCode kKeyPrintScreen = 0x46;
inline constexpr KeyCode kKeyPause = 0x48;
inline constexpr KeyCode kKeyLeftControl = 0xe0;
inline constexpr KeyCode kKeyLeftShift = 0xe1;
inline constexpr KeyCode kKeyLeftAlt = 0xe2;
inline constexpr KeyCode kKeyRightControl = 0xe4;
inline constexpr KeyCode kKeyRightShift = 0xe5;
inline constexpr KeyCode kKeyRightAlt = 0xe6;

// The codes of a key by its HID usage. Never fails.
[[nodiscard]] KeyScanCodes scan_codes(KeyCode key);

// What the 8042 makes of a byte that is not F0 (which sets bit 7 of the next one instead).
[[nodiscard]] u8 translate_set2_to_set1(u8 byte);

}  // namespace emu
