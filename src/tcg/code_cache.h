// SPDX-License-Identifier: Apache-2.0
// Executable memory, mapped twice: generated code is never writable at the address it runs at.
#pragma once

#include "base/mapping.h"
#include "base/result.h"
#include "base/types.h"
#include "base/unique_fd.h"

namespace emu {

// A bump allocator over the two views of one memfd. Threads: the owner's lock.
class CodeCache {
 public:
  [[nodiscard]] static Result<CodeCache> create(u64 size_bytes);

  // Execution address of the next allocation, 64-byte aligned.
  [[nodiscard]] const u8* next() const { return execute_.data() + used_; }
  [[nodiscard]] u64 free_bytes() const { return size_bytes_ - used_; }
  [[nodiscard]] u64 size_bytes() const { return size_bytes_; }
  [[nodiscard]] u64 used_bytes() const { return used_; }
  // Copies `bytes` to next() and moves it on. The caller has checked free_bytes().
  const u8* append(const u8* bytes, u64 length_bytes);
  // Everything from `keep_bytes` on becomes free again. Nothing may execute there.
  void truncate(u64 keep_bytes) { used_ = released_at_ = keep_bytes; }
  // Atomically replaces 4 bytes inside one 64-byte line at execution address `at`.
  void patch32(const u8* at, u32 value) const;
  [[nodiscard]] bool contains(const void* p) const {
    const auto* b = static_cast<const u8*>(p);
    return b >= execute_.data() && b < execute_.data() + size_bytes_;
  }

 private:
  CodeCache(Mapping write, Mapping execute, u64 size_bytes)
      : write_(std::move(write)), execute_(std::move(execute)), size_bytes_(size_bytes) {}
  Mapping write_;
  Mapping execute_;
  u64 size_bytes_ = 0;
  void release_written();

  u64 used_ = 0;
  u64 released_at_ = 0;  // used_ when the writable view was last unmapped from memory
};

}  // namespace emu
