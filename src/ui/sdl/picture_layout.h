// SPDX-License-Identifier: Apache-2.0
// Where the guest's picture goes in a window, and how large a window it wants.
#pragma once

#include "base/types.h"

namespace emu {

struct Size {
  i32 width = 0;
  i32 height = 0;
  bool operator==(const Size&) const = default;
};

struct Placement {
  i32 x = 0, y = 0;  // of the picture's corner in the window
  Size size;
  bool is_exact = false;  // a whole multiple: draw pixels sharp, else smooth them
  bool operator==(const Placement&) const = default;
};

enum class Scaling : u8 {
  kAuto,    // the largest whole multiple if that fills most of the window, else as large as fits
  kWhole,   // always a whole multiple; a picture that is too large is shrunk
  kSmooth,  // always as large as fits
};

// Centres the picture with its proportions. All sizes in pixels, at least 1.
[[nodiscard]] Placement place_picture(Size picture, Size window, Scaling scaling = Scaling::kAuto);

// The window that shows `picture` without scrolling on a screen with `usable` pixels: a whole
// multiple of small pictures, so that a 640x400 screen is not a stamp on a large monitor.
[[nodiscard]] Size natural_window(Size picture, Size usable);

}  // namespace emu
