// SPDX-License-Identifier: Apache-2.0
#include "ui/sdl/sdl_screen.h"

#include <algorithm>

#include "base/log.h"

namespace emu {
namespace {

SDL_Rect usable_bounds(SDL_Window* window) {
  SDL_Rect rect{0, 0, 1024, 768};
  SDL_GetDisplayUsableBounds(std::max(SDL_GetWindowDisplayIndex(window), 0), &rect);
  return rect;
}

// Moves a window of this size so that it is all on the screen.
void bring_inside(SDL_Window* window, Size size, const SDL_Rect& screen) {
  int x = 0;
  int y = 0;
  SDL_GetWindowPosition(window, &x, &y);
  if (x < screen.x || y < screen.y || x + size.width > screen.x + screen.w ||
      y + size.height > screen.y + screen.h) {
    SDL_SetWindowPosition(window, screen.x + (screen.w - size.width) / 2,
                          screen.y + (screen.h - size.height) / 2);
  }
}

}  // namespace

Result<std::unique_ptr<SdlScreen>> SdlScreen::open(bool full_screen) {
  const u32 flags = SDL_WINDOW_RESIZABLE | SDL_WINDOW_ALLOW_HIGHDPI |
                    (full_screen ? u32{SDL_WINDOW_FULLSCREEN_DESKTOP} : 0u);
  SdlPtr<SDL_Window> window(
      SDL_CreateWindow("emu", SDL_WINDOWPOS_UNDEFINED, SDL_WINDOWPOS_UNDEFINED, 640, 400, flags));
  if (window == nullptr) return fail("cannot open a window: {}", SDL_GetError());
  SdlPtr<SDL_Renderer> renderer(SDL_CreateRenderer(window.get(), -1, 0));
  if (renderer == nullptr) {
    renderer.reset(SDL_CreateRenderer(window.get(), -1, SDL_RENDERER_SOFTWARE));
  }
  if (renderer == nullptr) return fail("cannot draw in a window: {}", SDL_GetError());
  auto screen = std::make_unique<SdlScreen>(std::move(window), std::move(renderer));
  screen->make_natural();
  return screen;
}

bool SdlScreen::resize_texture(const Frame& frame) {
  const Size size{static_cast<i32>(frame.width), static_cast<i32>(frame.height)};
  if (texture_ != nullptr && size == picture_) return false;
  picture_ = size;
  texture_.reset(SDL_CreateTexture(renderer_.get(), SDL_PIXELFORMAT_RGB888,
                                   SDL_TEXTUREACCESS_STREAMING, size.width, size.height));
  if (texture_ == nullptr) log(LogLevel::kWarning, "ui", "no texture: {}", SDL_GetError());
  if (follows_picture_) make_natural();
  return true;
}

void SdlScreen::show(const Frame& frame) {
  if (frame.width == 0 || frame.height == 0) return;
  const bool is_new = resize_texture(frame);
  if (texture_ == nullptr) return;
  const u32 top = is_new ? 0 : frame.changed_top;
  const u32 bottom = is_new ? frame.height : frame.changed_bottom;
  if (top < bottom) {
    const SDL_Rect rows{0, static_cast<int>(top), picture_.width, static_cast<int>(bottom - top)};
    SDL_UpdateTexture(texture_.get(), &rows, &frame.pixels[std::size_t{top} * frame.width],
                      static_cast<int>(frame.width * sizeof(u32)));
  }
  redraw();
}

void SdlScreen::redraw() {
  SDL_SetRenderDrawColor(renderer_.get(), 0, 0, 0, SDL_ALPHA_OPAQUE);
  SDL_RenderClear(renderer_.get());
  Size output{1, 1};
  SDL_GetRendererOutputSize(renderer_.get(), &output.width, &output.height);
  if (texture_ != nullptr && output.width > 0 && output.height > 0) {
    const Placement place = place_picture(picture_, output, scaling_);
    SDL_SetTextureScaleMode(texture_.get(),
                            place.is_exact ? SDL_ScaleModeNearest : SDL_ScaleModeLinear);
    const SDL_Rect target{place.x, place.y, place.size.width, place.size.height};
    SDL_RenderCopy(renderer_.get(), texture_.get(), nullptr, &target);
  }
  overlay_.draw(renderer_.get(), output.height, output.width >= 1600 ? 2 : 1);
  SDL_RenderPresent(renderer_.get());
}

SDL_Point SdlScreen::to_picture(i32 x, i32 y) const {
  Size window{1, 1};
  Size output{1, 1};
  SDL_GetWindowSize(window_.get(), &window.width, &window.height);
  SDL_GetRendererOutputSize(renderer_.get(), &output.width, &output.height);
  if (window.width < 1 || window.height < 1 || output.width < 1 || output.height < 1) return {0, 0};
  const Placement place = place_picture(picture_, output, scaling_);
  const i64 across = i64{x} * output.width / window.width - place.x;
  const i64 down = i64{y} * output.height / window.height - place.y;
  return {static_cast<int>(across * picture_.width / std::max(place.size.width, 1)),
          static_cast<int>(down * picture_.height / std::max(place.size.height, 1))};
}

Size SdlScreen::output() const {
  Size output;
  SDL_GetRendererOutputSize(renderer_.get(), &output.width, &output.height);
  return output;
}

bool SdlScreen::is_full_screen() const {
  return (SDL_GetWindowFlags(window_.get()) & SDL_WINDOW_FULLSCREEN_DESKTOP) != 0;
}

void SdlScreen::toggle_full_screen() {
  SDL_SetWindowFullscreen(window_.get(), is_full_screen() ? 0 : SDL_WINDOW_FULLSCREEN_DESKTOP);
}

void SdlScreen::make_natural() {
  follows_picture_ = true;
  if (is_full_screen()) return;
  const SDL_Rect usable = usable_bounds(window_.get());
  asked_ = natural_window(picture_, {usable.w, usable.h});
  SDL_SetWindowSize(window_.get(), asked_.width, asked_.height);
  bring_inside(window_.get(), asked_, usable);
}

Result<Frame> SdlScreen::read_back() {
  int width = 0;
  int height = 0;
  SDL_GetRendererOutputSize(renderer_.get(), &width, &height);
  Frame frame;
  frame.width = static_cast<u32>(width);
  frame.height = static_cast<u32>(height);
  frame.pixels.resize(std::size_t{frame.width} * frame.height);
  if (SDL_RenderReadPixels(renderer_.get(), nullptr, SDL_PIXELFORMAT_RGB888, frame.pixels.data(),
                           width * 4) != 0) {
    return fail("cannot read the window: {}", SDL_GetError());
  }
  for (u32& pixel : frame.pixels) pixel &= 0xFFFFFF;
  return frame;
}

}  // namespace emu
