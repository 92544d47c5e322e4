// SPDX-License-Identifier: Apache-2.0
// What kind of image a file is, by its first bytes.
#pragma once

#include <span>
#include <string_view>

#include "base/result.h"
#include "block/byte_file.h"

namespace emu {

// The names are qemu's: vpc is VHD.
enum class DiskFormat : u8 { kAuto, kRaw, kQcow2, kVmdk, kVdi, kVpc, kVhdx, kLuks };

// "raw", "qcow2", "vmdk", ..., or "auto".
[[nodiscard]] std::string_view format_name(DiskFormat format);
// The reverse. Errors: an unknown name, with the known ones.
[[nodiscard]] Result<DiskFormat> parse_format_name(std::string_view name);

// How many bytes of the file's start matter.
inline constexpr u64 kProbeBytes = 512;

// The name of the image, archive or document format whose signature `head` starts with, or an
// empty string: "qcow2", "VMware VMDK", "xz archive", ...
[[nodiscard]] std::string_view known_signature(std::span<const u8> head);

// Finds the format by the content; raw is what nothing else claims. Errors: empty file; another
// program's image format, an archive or a document (each with the command that converts it);
// something that cannot be a raw disk.
[[nodiscard]] Result<DiskFormat> probe_format(ByteFile& file);

}  // namespace emu
