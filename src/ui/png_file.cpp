// SPDX-License-Identifier: Apache-2.0
// Source: libpng manual, section "Simplified API".
#include "ui/png_file.h"

#include <png.h>

#include <cerrno>

namespace emu {
namespace {

png_image image_of_size(u32 width, u32 height) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.width = width;
  image.height = height;
  image.format = PNG_FORMAT_RGB;
  return image;
}

}  // namespace

Result<void> write_png(const std::string& path, const Frame& frame) {
  const std::size_t pixels = std::size_t{frame.width} * frame.height;
  if (pixels == 0 || frame.pixels.size() != pixels) {
    return fail("{} is not written: the screen is empty", path);
  }
  std::vector<u8> rgb;
  rgb.reserve(pixels * 3);
  for (const u32 pixel : frame.pixels) {
    for (const int shift : {16, 8, 0}) rgb.push_back(static_cast<u8>(pixel >> shift));
  }
  png_image image = image_of_size(frame.width, frame.height);
  errno = 0;
  if (png_image_write_to_file(&image, path.c_str(), 0, rgb.data(), 0, nullptr) != 0) return {};
  if (errno != 0) return fail_errno(errno, "cannot write the picture {}", path);
  return fail("cannot write the picture {}: {}", path, image.message);
}

Result<Frame> read_png(const std::string& path) {
  png_image image = image_of_size(0, 0);
  if (png_image_begin_read_from_file(&image, path.c_str()) == 0) {
    return fail("cannot read the picture {}: {}", path, image.message);
  }
  image.format = PNG_FORMAT_RGB;
  std::vector<u8> rgb(PNG_IMAGE_SIZE(image));
  if (png_image_finish_read(&image, nullptr, rgb.data(), 0, nullptr) == 0) {
    return fail("cannot read the picture {}: {}", path, image.message);
  }
  Frame frame;
  frame.width = image.width;
  frame.height = image.height;
  frame.pixels.reserve(rgb.size() / 3);
  for (std::size_t i = 0; i + 2 < rgb.size(); i += 3) {
    frame.pixels.push_back(u32{rgb[i]} << 16 | u32{rgb[i + 1]} << 8 | rgb[i + 2]);
  }
  return frame;
}

}  // namespace emu
