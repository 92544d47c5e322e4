// SPDX-License-Identifier: Apache-2.0
// A whole machine to and from a file descriptor: device and processor state by transfer(), then the
// used pages of RAM.
// Format: "EMUSTATE", version u32, length u64 of a StateIo stream, the stream; then for each block
// of RAM, in fixed order, pieces {offset u64, length u64, bytes}, ended by {~0, 0}. Little-endian.
// A file is untrusted: loading validates everything and returns an error, never crashes.
#pragma once

#include "machine/machine.h"

namespace emu {

// The machine is paused (wait_paused()) or was not started yet. Errors: the host's.
[[nodiscard]] Result<void> save_machine(Machine& machine, int fd);

// The same, with a machine of the same configuration. Errors: no snapshot, another configuration,
// damaged; the machine is then in its reset state.
[[nodiscard]] Result<void> load_machine(Machine& machine, int fd);

}  // namespace emu
