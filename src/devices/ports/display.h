// SPDX-License-Identifier: Apache-2.0
// What a video device asks of the host: somewhere to show its picture.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/types.h"

namespace emu {

// A picture, 0x00RRGGBB per pixel, rows top to bottom. Whoever looks keeps one Frame and has it
// brought up to date again and again; several may look at one source.
struct Frame {
  u32 width = 0;
  u32 height = 0;
  std::vector<u32> pixels;                  // width * height
  u32 changed_top = 0, changed_bottom = 0;  // rows [top, bottom) that the last render() redrew
  u64 sequence = 0;                         // the source's: how recent the picture is; 0: not drawn
};

// A text screen, for terminals: cells of code-page-437 character and VGA attribute.
struct TextScreen {
  u32 columns = 0;
  u32 rows = 0;
  std::vector<u16> cells;  // columns * rows: character | attribute << 8
  i32 cursor_column = -1;  // -1: hidden
  i32 cursor_row = -1;
};

// A video device's picture, pulled by the UI at its own pace (60 Hz or less).
class DisplaySource {
 public:
  virtual ~DisplaySource() = default;
  // Brings `frame` up to date; returns whether anything changed. Machine lock held.
  virtual bool render(Frame& frame) = 0;
  // The text screen, if the device is in a text mode. Machine lock held.
  virtual bool text(TextScreen& screen) = 0;
  // The user would like a picture of this many pixels; guests that can, follow. Machine lock held.
  virtual void prefer_size(u32 width, u32 height) {
    static_cast<void>(width), static_cast<void>(height);
  }
};

}  // namespace emu
