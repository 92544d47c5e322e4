// SPDX-License-Identifier: Apache-2.0
// -kernel: recognises what kind of kernel a file is and gets it ready to start without firmware.
#pragma once

#include <functional>
#include <vector>

#include "base/result.h"
#include "cpu/cpu_state.h"
#include "machine/boot/boot_chunk.h"
#include "machine/machine_config.h"
#include "machine/pc_layout.h"

namespace emu {

// What a kernel is told of the machine beside its memory.
struct KernelHints {
  u64 rsdp_address = 0;
  bool text_mode = false;  // the screen is in the text mode of text_screen.h
};

struct KernelBoot {
  std::vector<BootChunk> chunks;         // to be put into memory after every reset
  std::function<void(CpuState&)> enter;  // sets the boot processor, just reset, to the entry point
};

// Reads the kernel (a Linux bzImage, or one with a Multiboot header) and its initrd or modules.
// Errors: those of LinuxBoot::prepare() and MultibootBoot::prepare().
[[nodiscard]] Result<KernelBoot> prepare_kernel(const LinuxBootConfig& config,
                                                const MemoryLayout& memory,
                                                const KernelHints& hints);

}  // namespace emu
