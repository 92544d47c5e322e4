// SPDX-License-Identifier: Apache-2.0
// A block of firmware tables with pointers and checksums still open: it can be finished for a known
// address (direct boot), or handed to firmware as a script that finishes it (fw_cfg).
// Source: QEMU docs/specs/fw_cfg.rst and hw/acpi/bios-linker-loader.c (the script's format).
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/types.h"

namespace emu {

class TableBlob {
 public:
  // `file` is the blob's fw_cfg name, at most 55 characters.
  explicit TableBlob(std::string file) : file_(std::move(file)) {}

  [[nodiscard]] u32 size() const { return static_cast<u32>(bytes_.size()); }
  [[nodiscard]] const std::vector<u8>& bytes() const { return bytes_; }
  [[nodiscard]] const std::string& file() const { return file_; }

  // Appends; returns the offset of the first byte.
  u32 append(std::span<const u8> data);
  template <class T>
  u32 append_value(T value) {
    return append(std::span(reinterpret_cast<const u8*>(&value), sizeof value));
  }
  void align(u32 alignment);
  void patch(u32 offset, u64 value, unsigned size);

  // The `size`-byte word at `offset` shall hold the address of `target_offset` in `target`.
  void add_pointer(u32 offset, unsigned size, const TableBlob& target, u32 target_offset);
  // The byte at `offset` shall make [start, start + length) sum to zero.
  void add_checksum(u32 offset, u32 start, u32 length);

  // The contents as they must be if each blob starts at the address that `base_of` gives (indexed
  // as `blobs`).
  [[nodiscard]] std::vector<u8> finished(std::span<const TableBlob* const> blobs,
                                         std::span<const u64> bases) const;

  // The loader script for blobs, in allocation order: fw_cfg file etc/table-loader.
  struct Placement {
    const TableBlob* blob;
    u32 alignment;
    bool in_f_segment;
  };
  [[nodiscard]] static std::vector<u8> loader_script(std::span<const Placement> placements);

 private:
  struct Pointer {
    u32 offset;
    unsigned size;
    const TableBlob* target;
  };
  struct Checksum {
    u32 offset, start, length;
  };
  std::string file_;
  std::vector<u8> bytes_;
  std::vector<Pointer> pointers_;
  std::vector<Checksum> checksums_;
};

}  // namespace emu
