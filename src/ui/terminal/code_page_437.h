// SPDX-License-Identifier: Apache-2.0
// The PC's character set as Unicode.
#pragma once

#include <string>

#include "base/types.h"

namespace emu {

// Appends the UTF-8 form of the glyph that a VGA font has for `code`; 00h and FFh are blanks.
// Source: Unicode Consortium, MICSFT/PC/CP437.TXT; the graphics of codes 1-31 as IBM PC fonts
// have them (Wikipedia, "Code page 437").
void append_code_page_437(std::string& out, u8 code);

}  // namespace emu
