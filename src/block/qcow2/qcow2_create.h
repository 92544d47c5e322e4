// SPDX-License-Identifier: Apache-2.0
// Making a new qcow2 image.
// Source: qcow2 spec; qemu-img(1), qcow2 options.
#pragma once

#include <string>

#include "block/qcow2/qcow2_header.h"

namespace emu::qcow2 {

struct CreateOptions {
  u64 size_bytes = 0;  // of the disk; rounded up to whole sectors
  u32 version = 3;
  u64 cluster_bytes = 64 * kKiB;  // 512 bytes to 2 MiB, a power of two
  unsigned refcount_bits = 16;    // 1 to 64, a power of two; version 2 has 16 only
  u8 compression_type = kCompressionZlib;
  bool lazy_refcounts = false;
  bool extended_l2 = false;
  std::string data_file;  // name to be recorded; the file itself is the caller's business
  bool data_file_raw = false;
  std::string luks_passphrase;  // empty: no encryption
  u64 luks_iteration_ms = 2000;
  std::string backing_file;
  std::string backing_format;
};

// Writes an empty image to `file`, which is empty. Errors: options that do not go together, each
// with the way out; the host's.
[[nodiscard]] Result<void> create(ByteFile& file, const CreateOptions& options);

// How many bytes of tables a fully stored disk of that size needs, header included.
[[nodiscard]] u64 metadata_bytes(const CreateOptions& options);

}  // namespace emu::qcow2
