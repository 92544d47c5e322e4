// SPDX-License-Identifier: Apache-2.0
#include "ui/sdl/sdl_overlay.h"

#include <algorithm>

namespace emu {
namespace {

constexpr u32 kGlyphWidth = 8, kGlyphHeight = 16, kFontBytes = 256 * kGlyphHeight;
constexpr u32 kInk = 0xffffffff, kPaper = 0xc0202020;  // ARGB: a dark shade
constexpr std::size_t kMostColumns = 100;

}  // namespace

bool SdlOverlay::set_lines(std::vector<std::string> lines) {
  if (lines == lines_) return false;
  lines_ = std::move(lines);
  for (std::string& line : lines_) line.resize(std::min(line.size(), kMostColumns));
  texture_.reset();
  return true;
}

std::vector<u32> SdlOverlay::pixels(u32 width, u32 height) const {
  std::vector<u32> dots(std::size_t{width} * height, kPaper);
  for (u32 row = 0; row < lines_.size(); ++row) {
    for (u32 column = 0; column < lines_[row].size(); ++column) {
      const u8 code = static_cast<u8>(lines_[row][column]);
      for (u32 y = 0; y < kGlyphHeight; ++y) {
        const u8 bits = font_[std::size_t{code} * kGlyphHeight + y];
        u32* const line =
            &dots[std::size_t{row * kGlyphHeight + y} * width + (column + 1) * kGlyphWidth];
        for (u32 x = 0; x < kGlyphWidth; ++x) {
          if ((bits >> (7 - x) & 1) != 0) line[x] = kInk;
        }
      }
    }
  }
  return dots;
}

void SdlOverlay::draw(SDL_Renderer* renderer, i32 height, i32 scale) {
  if (lines_.empty() || font_.size() != kFontBytes) return;
  if (texture_ == nullptr) {
    std::size_t columns = 0;
    for (const std::string& line : lines_) columns = std::max(columns, line.size());
    width_ = static_cast<i32>((columns + 2) * kGlyphWidth);
    height_ = static_cast<i32>(lines_.size() * kGlyphHeight);
    const auto dots = pixels(static_cast<u32>(width_), static_cast<u32>(height_));
    texture_.reset(SDL_CreateTexture(renderer, SDL_PIXELFORMAT_ARGB8888, SDL_TEXTUREACCESS_STATIC,
                                     width_, height_));
    if (texture_ == nullptr) return;
    SDL_SetTextureBlendMode(texture_.get(), SDL_BLENDMODE_BLEND);
    SDL_UpdateTexture(texture_.get(), nullptr, dots.data(), width_ * 4);
  }
  const SDL_Rect target{0, height - height_ * scale, width_ * scale, height_ * scale};
  SDL_RenderCopy(renderer, texture_.get(), nullptr, &target);
}

}  // namespace emu
