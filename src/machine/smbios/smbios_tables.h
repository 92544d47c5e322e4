// SPDX-License-Identifier: Apache-2.0
// What dmidecode(8) and installers read: SMBIOS structures 0, 1, 3, 4, 16, 17, 19, 32 and 127.
// Source: DMTF DSP0134 (SMBIOS) 3.2, chapters 5.2 (entry points) and 7 (structures).
#pragma once

#include <array>
#include <vector>

#include "base/types.h"

namespace emu {

struct SmbiosConfig {
  u64 memory_bytes = 0;
  unsigned cpus = 1;
};

struct SmbiosTables {
  std::vector<u8> structures;
  u16 count = 0;
  u16 longest_bytes = 0;

  [[nodiscard]] static SmbiosTables build(const SmbiosConfig& config);
  // The 2.8 entry point ("_SM_") for structures at `address` (below 4 GiB); firmware that gets it
  // through fw_cfg puts in the address itself and does the checksums again.
  [[nodiscard]] std::array<u8, 31> entry_point_2(u64 address) const;
  // The 3.0 entry point ("_SM3_").
  [[nodiscard]] std::array<u8, 24> entry_point_3(u64 address) const;
};

}  // namespace emu
