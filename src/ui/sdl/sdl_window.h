// SPDX-License-Identifier: Apache-2.0
// The machine in a window: picture, keyboard, pointer. Only this folder knows SDL.
// Keys with Ctrl+Alt are the emulator's: SdlInput::help() lists them, and Ctrl+Alt+H shows the
// list. Closing the window presses the guest's power button if it listens to that; closing it
// again, or when the guest does not listen, ends the machine. Source: SDL 2 wiki (CategoryAPI).
// Threads: everything on the thread that opened the window, which should be the main one.
#pragma once

#include <memory>

#include "ui/user_interface.h"

namespace emu {

struct SdlWindowOptions {
  bool is_full_screen = false;
};

// Whether a window can be hoped for: SDL_VIDEODRIVER, DISPLAY or WAYLAND_DISPLAY is set.
[[nodiscard]] bool has_graphical_display();

// Errors: SDL's reason why there can be no window (no such display, no driver).
[[nodiscard]] Result<std::unique_ptr<UserInterface>> open_sdl_window(
    const SdlWindowOptions& options);

}  // namespace emu
