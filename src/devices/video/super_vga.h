// SPDX-License-Identifier: Apache-2.0
// What a VGA's extension says of the picture: a mode beyond the VGA's own, and a pointer over it.
#pragma once

#include <array>

#include "base/types.h"

namespace emu {

// A pointer that the card draws: `size` (32 or 64) rows of two bits a pixel.
struct HardwareCursor {
  static constexpr u32 kMostSize = 64;
  u32 size = 0;  // 0: none
  u32 x = 0, y = 0;
  u32 background = 0, foreground = 0;  // 0x00RRGGBB
  // Pixels from the left in bits 63 down. Neither: transparent; only `mask`: inverted; only
  // `color`: background; both: foreground.
  std::array<u64, kMostSize> mask{}, color{};
  bool operator==(const HardwareCursor&) const = default;
};

class SuperVga {
 public:
  virtual ~SuperVga() = default;
  // Whether it, and not the VGA's registers, decides the mode.
  [[nodiscard]] virtual bool is_enabled() const = 0;
  [[nodiscard]] virtual bool has_eight_bit_dac() const = 0;
  // The mode; what they say fits in video memory whatever the guest wrote. Sizes in pixels, bits,
  // bytes; 4, 8, 15, 16, 24 or 32 bits.
  [[nodiscard]] virtual u32 width() const = 0;
  [[nodiscard]] virtual u32 height() const = 0;
  [[nodiscard]] virtual u32 bits_per_pixel() const = 0;
  [[nodiscard]] virtual u32 pitch_bytes() const = 0;
  [[nodiscard]] virtual u32 start_bytes() const = 0;
  [[nodiscard]] virtual HardwareCursor cursor() const { return {}; }
};

}  // namespace emu
