// SPDX-License-Identifier: Apache-2.0
// Finding SeaBIOS and its VGA BIOS where Debian puts them.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "base/types.h"
#include "machine/machine_config.h"

namespace emu {

struct Firmware {
  std::vector<u8> bios;
  std::vector<u8> vga_bios;  // may be empty: then there is no text on the screen

  // The file with the video BIOS of a card, or empty: it needs none.
  [[nodiscard]] static std::string_view vga_bios_name(VgaKind card);

  // Reads the images; an empty path means Debian's. Errors: missing firmware, with the package to
  // install; unreadable or unfit files.
  [[nodiscard]] static Result<Firmware> find(const std::string& bios_path,
                                             const std::string& vga_path,
                                             VgaKind card = VgaKind::kStd);

  // The video BIOS alone; empty if there is none and no path asks for one.
  [[nodiscard]] static Result<std::vector<u8>> find_vga_bios(const std::string& path, VgaKind card);
};

}  // namespace emu
