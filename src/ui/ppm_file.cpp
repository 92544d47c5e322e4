// SPDX-License-Identifier: Apache-2.0
#include "ui/ppm_file.h"

#include <cerrno>
#include <cstdio>

namespace emu {

Result<void> write_ppm(const std::string& path, const Frame& frame) {
  const std::size_t pixels = std::size_t{frame.width} * frame.height;
  if (pixels == 0 || frame.pixels.size() != pixels) {
    return fail("{} is not written: the screen is empty", path);
  }
  std::string out = fmt::format("P6\n{} {}\n255\n", frame.width, frame.height);
  out.reserve(out.size() + pixels * 3);
  for (const u32 pixel : frame.pixels) {
    for (const int shift : {16, 8, 0}) out += static_cast<char>(pixel >> shift & 0xff);
  }
  errno = 0;
  std::FILE* const file = std::fopen(path.c_str(), "wb");
  if (file == nullptr) return fail_errno(errno, "cannot write the picture {}", path);
  const bool is_written = std::fwrite(out.data(), 1, out.size(), file) == out.size();
  const bool is_closed = std::fclose(file) == 0;
  if (!is_written || !is_closed) return fail_errno(errno, "cannot write the picture {}", path);
  return {};
}

}  // namespace emu
