// SPDX-License-Identifier: Apache-2.0
// Pictures as PNG files; the only place that knows libpng.
#pragma once

#include <string>

#include "base/result.h"
#include "devices/ports/display.h"

namespace emu {

// Writes `frame` to `path`, replacing a file that is there. Errors: an empty frame; the host's
// reason, naming the path.
[[nodiscard]] Result<void> write_png(const std::string& path, const Frame& frame);
// The picture in a PNG file, whatever its colour type. Errors: no such file, not a PNG.
[[nodiscard]] Result<Frame> read_png(const std::string& path);

}  // namespace emu
