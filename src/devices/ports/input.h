// SPDX-License-Identifier: Apache-2.0
// What input devices take from the host.
#pragma once

#include <optional>

#include "base/types.h"

namespace emu {

// Keys by position: USB HID usage ids of page 7 (HID Usage Tables 1.4, section 10), which SDL
// scancodes equal.
using KeyCode = u16;

// What a keyboard's lights say.
struct KeyLocks {
  bool num = false, caps = false;
  bool operator==(const KeyLocks&) const = default;
};

// A keyboard that the UI types on. Machine lock held.
class KeyboardSink {
 public:
  virtual ~KeyboardSink() = default;
  virtual void key(KeyCode code, bool pressed) = 0;
  // The lights; nothing while the guest has not set them.
  [[nodiscard]] virtual std::optional<KeyLocks> locks() const { return std::nullopt; }
};

enum class MouseButton : u8 { kLeft = 0, kRight = 1, kMiddle = 2, kSide = 3, kExtra = 4 };

// A relative pointer. Machine lock held.
class MouseSink {
 public:
  virtual ~MouseSink() = default;
  // Counts to the right and down; wheel notches away from the user.
  virtual void move(i32 dx, i32 dy, i32 wheel) = 0;
  virtual void button(MouseButton button, bool pressed) = 0;
};

// An absolute pointer. Machine lock held.
class TabletSink {
 public:
  static constexpr u16 kRange = 0x7fff;  // the picture's right and lower edge
  virtual ~TabletSink() = default;
  // Whether the guest has a driver that listens; else the relative pointer is the one to move.
  [[nodiscard]] virtual bool is_listening() const = 0;
  // Where the pointer is, 0..kRange; wheel notches away from the user.
  virtual void point(u16 x, u16 y, i32 wheel) = 0;
  virtual void button(MouseButton button, bool pressed) = 0;
};

}  // namespace emu
