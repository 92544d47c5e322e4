// SPDX-License-Identifier: Apache-2.0
#include "ui/sdl/picture_layout.h"

#include <algorithm>

namespace emu {
namespace {

constexpr i32 kMostPercentOfScreen = 85;
constexpr i32 kLeastPercentFilled = 80;  // less, and borders are worse than blur

Size scaled_to_fit(Size picture, Size window) {
  const i64 by_width = i64{picture.height} * window.width / picture.width;
  if (by_width <= window.height) {
    return {window.width, static_cast<i32>(std::max<i64>(by_width, 1))};
  }
  const i64 by_height = i64{picture.width} * window.height / picture.height;
  return {static_cast<i32>(std::max<i64>(by_height, 1)), window.height};
}

}  // namespace

Placement place_picture(Size picture, Size window) {
  const Size fit = scaled_to_fit(picture, window);
  const i32 multiple = std::min(window.width / picture.width, window.height / picture.height);
  Placement placement;
  placement.size = {picture.width * multiple, picture.height * multiple};
  placement.is_exact = i64{placement.size.width} * 100 >= i64{fit.width} * kLeastPercentFilled;
  if (!placement.is_exact) placement.size = fit;
  placement.x = (window.width - placement.size.width) / 2;
  placement.y = (window.height - placement.size.height) / 2;
  return placement;
}

Size natural_window(Size picture, Size usable) {
  const i32 width = std::max(usable.width * kMostPercentOfScreen / 100, 1);
  const i32 height = std::max(usable.height * kMostPercentOfScreen / 100, 1);
  const i32 multiple = std::min(width / picture.width, height / picture.height);
  if (multiple >= 1) return {picture.width * multiple, picture.height * multiple};
  return scaled_to_fit(picture, {width, height});
}

}  // namespace emu
