// SPDX-License-Identifier: Apache-2.0
// What a PCI function shows to its bus.
// Source: PCI Local Bus Specification 3.0, chapter 6.
#pragma once

#include "base/types.h"

namespace emu {

// Configuration space as seen by configuration mechanism 1 (or ECAM). Machine lock held.
class PciFunction {
 public:
  virtual ~PciFunction() = default;
  // `offset` is 0..255 (0..4095 with ECAM), naturally aligned for `size` (1, 2 or 4 bytes).
  [[nodiscard]] virtual u32 read_config(u32 offset, unsigned size) = 0;
  virtual void write_config(u32 offset, unsigned size, u32 value) = 0;
};

}  // namespace emu
