// SPDX-License-Identifier: Apache-2.0
// Keeps two programs from using one disk image in ways that would damage it.
// Source: fcntl(2) "Open file description locks"; byte layout of qemu's block/file-posix.c
// (permission bytes from 100, "not shared" bytes from 200), so that qemu and we see each other.
#pragma once

#include <string>

#include "base/result.h"

namespace emu {

// Locks the open image `fd` until its last descriptor is closed: many readers, or one writer.
// `path` is for messages only. Errors (EAGAIN): another open of the file stands in the way; the
// message names the holder's pid and command when /proc shows them. A file system without such
// locks is accepted without one.
[[nodiscard]] Result<void> lock_image(int fd, const std::string& path, bool for_writing);

}  // namespace emu
