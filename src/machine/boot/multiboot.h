// SPDX-License-Identifier: Apache-2.0
// Kernels with a Multiboot 1 header, as ELF files or with load addresses in the header.
// Source: Multiboot Specification 0.6.96; System V ABI, "Program Loading" (ELF).
// Not modelled: video mode requests (the header's flag 2 is ignored), drive and APM tables.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "cpu/cpu_state.h"
#include "machine/boot/boot_chunk.h"
#include "machine/machine_config.h"
#include "machine/pc_layout.h"

namespace emu {

// A kernel file's parts, validated.
struct MultibootImage {
  std::vector<BootChunk> segments;  // what to load, cleared memory included; none overlap
  u32 entry = 0;                    // physical

  // Whether there is a header in the first 8 KiB of a file that starts with `start`.
  [[nodiscard]] static bool has_header(std::span<const u8> start);
  // Places every segment in the first `memory_bytes` of memory. `name` is for messages. Errors, one
  // sentence each: no header or one with unknown demands, 64-bit ELF, damaged ELF, no room.
  [[nodiscard]] static Result<MultibootImage> parse(std::span<const u8> file, u64 memory_bytes,
                                                    const std::string& name);
};

// A kernel ready to be put into memory; can be placed again after every reset.
struct MultibootBoot {
  std::vector<BootChunk> chunks;
  u32 entry = 0;
  u32 info_address = 0;

  // Reads the files and lays everything out. `config.initrd` names modules, separated by commas,
  // each with its arguments after a space. Errors: those of parse(), unreadable modules, no room.
  [[nodiscard]] static Result<MultibootBoot> prepare(const LinuxBootConfig& config,
                                                     const MemoryLayout& memory);

  // Sets the boot processor, which was just reset, to the kernel's entry point (section 3.2).
  void enter(CpuState& state) const;
};

}  // namespace emu
