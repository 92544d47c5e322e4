// SPDX-License-Identifier: Apache-2.0
// The memory chips of a display card.
#pragma once

#include <memory>
#include <span>

#include "base/result.h"
#include "memory/guest_ram.h"

namespace emu {

struct VgaMemory {
  std::unique_ptr<GuestRam> vram;
  std::unique_ptr<GuestRam> rom;  // null: none
  // `vram_bytes` is a power of two, 256 KiB to 256 MiB; `rom` the video BIOS, which is copied, or
  // empty. Errors: a size that is not allowed or that the host refuses.
  [[nodiscard]] static Result<VgaMemory> create(u64 vram_bytes, std::span<const u8> rom);
};

}  // namespace emu
