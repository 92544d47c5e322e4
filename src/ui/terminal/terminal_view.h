// SPDX-License-Identifier: Apache-2.0
// The machine's screen in this terminal: text as text (a graphical console too, see
// ConsoleReader), other pictures as coloured half blocks; what is typed goes to the guest's
// keyboard, Ctrl-A commands as in EscapeKeys. Not possible: the pointer, and keys that terminals do
// not report (a Shift alone, key releases).
#pragma once

#include <memory>

#include "ui/user_interface.h"

namespace emu {

// Uses standard input and output, which must be a terminal. Errors: they are not.
[[nodiscard]] Result<std::unique_ptr<UserInterface>> open_terminal_view();

}  // namespace emu
