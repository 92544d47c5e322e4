// SPDX-License-Identifier: Apache-2.0
// Keys by Linux's event codes, which virtio-input speaks.
// Source: linux/input-event-codes.h; HID Usage Tables 1.4, section 10; VIRTIO 1.2: 5.8.
#pragma once

#include "devices/ports/input.h"

namespace emu {

// The KEY_* code of a key by its HID usage; 0 (KEY_RESERVED) if there is none.
[[nodiscard]] u16 linux_key(KeyCode key);

}  // namespace emu
