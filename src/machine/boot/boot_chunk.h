// SPDX-License-Identifier: Apache-2.0
// Bytes that belong at a guest-physical address before a kernel starts.
#pragma once

#include <vector>

#include "base/types.h"

namespace emu {

struct BootChunk {
  u64 address = 0;
  std::vector<u8> bytes;

  [[nodiscard]] u64 end() const { return address + bytes.size(); }
};

}  // namespace emu
