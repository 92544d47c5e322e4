// SPDX-License-Identifier: Apache-2.0
#include "ui/sdl/picture_layout.h"

#include <algorithm>

namespace emu {
namespace {

constexpr i32 kMostPercentEnlarged = 85;  // of the screen, for a picture that is shown larger
constexpr i32 kMostPercentShrunk = 95;    // for one that does not fit as it is
constexpr i32 kLeastPercentFilled = 80;   // less, and borders are worse than blur

Size scaled_to_fit(Size picture, Size window) {
  const i64 by_width = i64{picture.height} * window.width / picture.width;
  if (by_width <= window.height) {
    return {window.width, static_cast<i32>(std::max<i64>(by_width, 1))};
  }
  const i64 by_height = i64{picture.width} * window.height / picture.height;
  return {static_cast<i32>(std::max<i64>(by_height, 1)), window.height};
}

}  // namespace

Placement place_picture(Size picture, Size window, Scaling scaling) {
  const Size fit = scaled_to_fit(picture, window);
  const i32 multiple = std::min(window.width / picture.width, window.height / picture.height);
  Placement placement;
  placement.size = {picture.width * multiple, picture.height * multiple};
  const bool fills = i64{placement.size.width} * 100 >= i64{fit.width} * kLeastPercentFilled;
  placement.is_exact = multiple > 0 && (fills || scaling == Scaling::kWhole);
  if (scaling == Scaling::kSmooth && placement.size != fit) placement.is_exact = false;
  if (!placement.is_exact) placement.size = fit;
  placement.x = (window.width - placement.size.width) / 2;
  placement.y = (window.height - placement.size.height) / 2;
  return placement;
}

Size natural_window(Size picture, Size usable) {
  const auto part = [usable](i32 percent) {
    return Size{std::max(usable.width * percent / 100, 1),
                std::max(usable.height * percent / 100, 1)};
  };
  const Size large = part(kMostPercentEnlarged);
  const i32 multiple = std::min(large.width / picture.width, large.height / picture.height);
  if (multiple > 1) return {picture.width * multiple, picture.height * multiple};
  if (picture.width <= usable.width && picture.height <= usable.height) return picture;
  return scaled_to_fit(picture, part(kMostPercentShrunk));
}

}  // namespace emu
