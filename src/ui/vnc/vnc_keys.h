// SPDX-License-Identifier: Apache-2.0
// The keys a VNC client names, as positions on the keyboard.
// Source: X11 keysymdef.h; RFC 6143, section 7.5.4; the RFB community specification, "QEMU
// Extended Key Event" (XT scan codes, an E0 prefix as bit 7).
#pragma once

#include <optional>

#include "devices/ports/input.h"

namespace emu {

// The key that has this keysym on a US layout. Nothing: there is none.
[[nodiscard]] std::optional<KeyCode> key_of_keysym(u32 keysym);
// The key with this XT scan code. Nothing: there is none.
[[nodiscard]] std::optional<KeyCode> key_of_xt_code(u32 code);

}  // namespace emu
