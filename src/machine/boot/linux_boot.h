// SPDX-License-Identifier: Apache-2.0
// Starting a Linux kernel without firmware: where its parts go, what it is told, how it is entered.
// Source: Linux Documentation/arch/x86/boot.rst ("32-bit Boot Protocol", "64-bit Boot Protocol")
// and zero-page.rst.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "cpu/cpu_state.h"
#include "machine/boot/boot_chunk.h"
#include "machine/boot/bzimage.h"
#include "machine/machine_config.h"
#include "machine/pc_layout.h"

namespace emu {

// Where the kernel's boot parameters ("zero page") are.
inline constexpr u64 kBootParams = 0x10000;

// A kernel ready to be put into memory; can be placed again after every reset.
struct LinuxBoot {
  std::vector<BootChunk> chunks;
  u64 entry = 0;
  bool long_mode = false;

  // Reads the files and lays everything out. Errors, one sentence each: unreadable or unfit kernel
  // or initrd, command line too long, memory too small for kernel and initrd.
  [[nodiscard]] static Result<LinuxBoot> prepare(const LinuxBootConfig& config,
                                                 const MemoryLayout& memory, u64 rsdp_address);

  // Tells the kernel that the screen is in the text mode of text_screen.h.
  void announce_text_mode();

  // Sets the boot processor, which was just reset, to the kernel's entry point.
  void enter(CpuState& state) const;
};

}  // namespace emu
