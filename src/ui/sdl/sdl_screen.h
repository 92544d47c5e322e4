// SPDX-License-Identifier: Apache-2.0
// The window's surface: shows a Frame, scaled.
#pragma once

#include <SDL.h>

#include <memory>

#include "base/result.h"
#include "devices/ports/display.h"
#include "ui/sdl/picture_layout.h"
#include "ui/sdl/sdl_overlay.h"
#include "ui/sdl/sdl_pointers.h"

namespace emu {

// Needs an initialised SDL video subsystem.
class SdlScreen {
 public:
  // Errors: SDL's.
  [[nodiscard]] static Result<std::unique_ptr<SdlScreen>> open(bool full_screen);
  SdlScreen(SdlPtr<SDL_Window> window, SdlPtr<SDL_Renderer> renderer)
      : window_(std::move(window)), renderer_(std::move(renderer)) {}

  // Shows the frame's changed rows; a frame of another size resizes the window, unless the user
  // chose a size.
  void show(const Frame& frame);
  // Draws the same picture again: the window was uncovered or resized.
  void redraw();
  void set_title(const std::string& title) { SDL_SetWindowTitle(window_.get(), title.c_str()); }
  void toggle_full_screen();
  // The size that suits the picture; from now on the window follows the picture again.
  void make_natural();
  // The window has this size now; if we did not ask for it, somebody chose it, and it stays.
  void was_resized(Size size) { follows_picture_ = follows_picture_ && size == asked_; }
  // Whether the window's size is the user's choice, not the picture's.
  [[nodiscard]] bool is_chosen_size() const { return !follows_picture_ || is_full_screen(); }
  // Of the window's surface, in pixels.
  [[nodiscard]] Size output() const;
  [[nodiscard]] bool is_full_screen() const;
  void set_scaling(Scaling scaling) { scaling_ = scaling; }
  [[nodiscard]] Scaling scaling() const { return scaling_; }
  // Drawn over the picture by the next redraw().
  [[nodiscard]] SdlOverlay& overlay() { return overlay_; }
  // The pixel of the picture under a position in the window, in the window's units; may lie
  // outside the picture.
  [[nodiscard]] SDL_Point to_picture(i32 x, i32 y) const;
  [[nodiscard]] Size picture() const { return picture_; }
  [[nodiscard]] SDL_Window* window() const { return window_.get(); }
  // What is on the window now, read back from it (for tests).
  [[nodiscard]] Result<Frame> read_back();

 private:
  bool resize_texture(const Frame& frame);

  SdlPtr<SDL_Window> window_;
  SdlPtr<SDL_Renderer> renderer_;
  SdlPtr<SDL_Texture> texture_;
  SdlOverlay overlay_;
  Scaling scaling_ = Scaling::kAuto;
  Size picture_{640, 400};
  Size asked_;
  bool follows_picture_ = true;
};

}  // namespace emu
