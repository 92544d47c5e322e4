// SPDX-License-Identifier: Apache-2.0
// Lines of text over the picture, in the window only: the status line and the list of keys.
#pragma once

#include <SDL.h>

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/types.h"
#include "ui/sdl/sdl_pointers.h"

namespace emu {

class SdlOverlay {
 public:
  // 256 glyphs of 8x16 dots; must outlive this. Any other size: nothing is ever drawn.
  void set_font(std::span<const u8> font) { font_ = font; }
  // ASCII; empty: no overlay. Returns whether that changes anything.
  bool set_lines(std::vector<std::string> lines);
  // Draws at the lower left corner of an output of `height` pixels, each dot `scale` pixels wide.
  void draw(SDL_Renderer* renderer, i32 height, i32 scale);

 private:
  [[nodiscard]] std::vector<u32> pixels(u32 width, u32 height) const;

  std::span<const u8> font_;
  std::vector<std::string> lines_;
  SdlPtr<SDL_Texture> texture_;
  i32 width_ = 0, height_ = 0;
};

}  // namespace emu
