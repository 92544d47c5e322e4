// SPDX-License-Identifier: Apache-2.0
// Making compressed clusters.
// Source: qcow2 spec: compression type (zlib is a raw deflate stream with a 4 KiB window).
#pragma once

#include <span>
#include <vector>

#include "base/result.h"
#include "base/types.h"

namespace emu::qcow2 {

// The packed form of one cluster, or an empty vector if that would not be smaller. Threads: any.
// Errors: ENOMEM.
[[nodiscard]] Result<std::vector<u8>> compress(u8 compression_type, std::span<const u8> cluster);

}  // namespace emu::qcow2
