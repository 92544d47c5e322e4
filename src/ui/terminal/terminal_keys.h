// SPDX-License-Identifier: Apache-2.0
// What is typed on a terminal, as keys of a PC keyboard with US layout.
// Source: ECMA-48; xterm "ctlseqs" (PC-style function keys); USB HID Usage Tables 1.4, section 10.
#pragma once

#include <span>
#include <vector>

#include "base/types.h"
#include "devices/ports/input.h"

namespace emu {

// A key and what is held with it.
struct KeyStroke {
  KeyCode code = 0;
  bool shift = false;
  bool ctrl = false;
  bool alt = false;
  bool operator==(const KeyStroke&) const = default;
};

// Appends the strokes that `typed` stands for. A terminal sends an escape sequence in one piece:
// an escape that nothing follows is the Esc key, one before a character is Alt. What no key makes
// (other alphabets, unknown sequences) is skipped.
void append_key_strokes(std::span<const u8> typed, std::vector<KeyStroke>& out);

// Presses and releases the keys of a stroke. Machine lock held.
void type_key_stroke(KeyboardSink& keyboard, const KeyStroke& stroke);

}  // namespace emu
