// SPDX-License-Identifier: Apache-2.0
// SDL's objects, owned.
#pragma once

#include <SDL.h>

#include <memory>

namespace emu {

struct SdlDeleter {
  void operator()(SDL_Window* window) const { SDL_DestroyWindow(window); }
  void operator()(SDL_Renderer* renderer) const { SDL_DestroyRenderer(renderer); }
  void operator()(SDL_Texture* texture) const { SDL_DestroyTexture(texture); }
  void operator()(char* text) const { SDL_free(text); }
};
template <class T>
using SdlPtr = std::unique_ptr<T, SdlDeleter>;

}  // namespace emu
