// SPDX-License-Identifier: Apache-2.0
// The window's surface: shows a Frame, scaled.
#pragma once

#include <SDL.h>

#include <memory>

#include "base/result.h"
#include "devices/ports/display.h"
#include "ui/sdl/picture_layout.h"

namespace emu {

struct SdlDeleter {
  void operator()(SDL_Window* window) const { SDL_DestroyWindow(window); }
  void operator()(SDL_Renderer* renderer) const { SDL_DestroyRenderer(renderer); }
  void operator()(SDL_Texture* texture) const { SDL_DestroyTexture(texture); }
};
template <class T>
using SdlPtr = std::unique_ptr<T, SdlDeleter>;

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
  [[nodiscard]] bool is_full_screen() const;
  [[nodiscard]] SDL_Window* window() const { return window_.get(); }
  // What is on the window now, read back from it (for tests).
  [[nodiscard]] Result<Frame> read_back();

 private:
  bool resize_texture(const Frame& frame);

  SdlPtr<SDL_Window> window_;
  SdlPtr<SDL_Renderer> renderer_;
  SdlPtr<SDL_Texture> texture_;
  Size picture_{640, 400};
  Size asked_;
  bool follows_picture_ = true;
};

}  // namespace emu
