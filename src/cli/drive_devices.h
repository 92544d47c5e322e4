// SPDX-License-Identifier: Apache-2.0
// QEMU's two halves of a disk: --drive if=none,id=X,... and --device CONTROLLER,drive=X,...
// Source: qemu(1), "-device"; the devices' own "-device NAME,help".
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace emu::cli {

// Turns every such pair into one --drive with if=..., and takes the devices out of `devices`, with
// the SATA controllers that disks name (ours come with the disks). Errors: a device without its
// drive; a property that is not there.
[[nodiscard]] Result<void> join_drives_and_devices(std::vector<std::string>& drives,
                                                   std::vector<std::string>& devices);

}  // namespace emu::cli
