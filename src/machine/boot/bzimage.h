// SPDX-License-Identifier: Apache-2.0
// A Linux kernel in bzImage form: its setup header, validated.
// Source: Linux Documentation/arch/x86/boot.rst ("The Linux/x86 Boot Protocol").
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/types.h"

namespace emu {

struct BzImage {
  std::vector<u8> file;
  u32 setup_bytes = 0;   // boot sector and real-mode code; the protected-mode part follows
  u32 header_bytes = 0;  // of the setup header, from offset 1F1h
  u16 version = 0;       // boot protocol, 020Ch for 2.12
  u64 load_address = 0;  // where the protected-mode part wants to be
  u32 init_bytes = 0;    // memory that it needs from there on
  u64 initrd_max = 0;    // highest address that the initrd may occupy
  u32 command_line_max = 0;
  bool has_64bit_entry = false;

  [[nodiscard]] std::span<const u8> kernel() const { return std::span(file).subspan(setup_bytes); }

  // Takes over a file's contents; `name` is for messages. Errors, one sentence each: not a Linux
  // kernel (an ELF vmlinux, a gzip file, something else), too old, truncated.
  [[nodiscard]] static Result<BzImage> parse(std::vector<u8> contents, const std::string& name);
  [[nodiscard]] static Result<BzImage> read(const std::string& path);
};

// A whole file, at most `limit_bytes` long. Errors: the host's, or too long.
[[nodiscard]] Result<std::vector<u8>> read_file(const std::string& path, u64 limit_bytes);

}  // namespace emu
