// SPDX-License-Identifier: Apache-2.0
// The VGA's text mode 3 as the video BIOS leaves it, for starting a kernel without firmware.
// Source: IBM VGA technical reference (BIOS mode tables); Linux
// Documentation/arch/x86/zero-page.rst and include/uapi/linux/screen_info.h.
#pragma once

#include <span>

#include "memory/address_space.h"

namespace emu {

// The 256 glyphs of 8x16 dots (4096 bytes) in a video BIOS image, found by their looks; empty if
// there are none.
[[nodiscard]] std::span<const u8> find_text_font(std::span<const u8> video_bios);

// Sets 80x25 colour text with this font and clears the screen, through ports and the window at
// A0000h as a program would. Machine lock held.
void set_text_mode(AddressSpace& ports, AddressSpace& memory, std::span<const u8> font);

// Fills in a zero page's screen_info: the kernel finds that mode set.
void describe_text_mode(std::span<u8> boot_params);

}  // namespace emu
