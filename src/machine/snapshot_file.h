// SPDX-License-Identifier: Apache-2.0
// A machine's state in a file with a name.
// Threads: any, without the machine lock; the calls wait for the machine.
#pragma once

#include <string>

#include "machine/machine.h"

namespace emu {

// Pauses the machine, writes its state beside `path` and renames it there once it is on stable
// storage, and lets the machine run on if it ran. Returns the file's size in bytes. Errors: the
// host's, naming the path (a file that was there is then unchanged); see Machine::can_be_saved().
[[nodiscard]] Result<u64> save_to_file(Machine& machine, const std::string& path);

// Puts a machine of the same configuration into the saved state; paused or running as it was
// before. Errors: as load_machine(), naming the path.
[[nodiscard]] Result<void> load_from_file(Machine& machine, const std::string& path);

}  // namespace emu
