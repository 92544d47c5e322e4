// SPDX-License-Identifier: Apache-2.0
// Pictures as portable pixmaps, which any script can read.
#pragma once

#include <string>

#include "base/result.h"
#include "devices/ports/display.h"

namespace emu {

// Writes `frame` as a binary PPM. Errors: an empty frame; a file that cannot be written.
// Source: ppm(5) of netpbm.
[[nodiscard]] Result<void> write_ppm(const std::string& path, const Frame& frame);

}  // namespace emu
