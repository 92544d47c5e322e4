// SPDX-License-Identifier: Apache-2.0
// A ByteFile in memory, sparse, for tests and small throw-away disks.
// Threads: any.
#pragma once

#include <map>
#include <mutex>

#include "block/byte_file.h"

namespace emu {

class MemoryFile final : public ByteFile {
 public:
  explicit MemoryFile(std::string name, u64 size_bytes = 0)
      : name_(std::move(name)), size_bytes_(size_bytes) {}

  [[nodiscard]] const std::string& path() const override { return name_; }
  [[nodiscard]] bool read_only() const override { return false; }
  [[nodiscard]] u64 size_bytes() const override;
  [[nodiscard]] u64 allocated_bytes() const override;
  Result<void> read(u64 offset, Pieces out) override;
  Result<void> write(u64 offset, Pieces in) override;
  Result<void> write_zeroes(u64 offset, u64 length_bytes) override;
  Result<void> discard(u64 offset, u64 length_bytes) override {
    return write_zeroes(offset, length_bytes);
  }
  Result<void> grow(u64 size_bytes) override;
  Result<void> shrink(u64 size_bytes) override;
  Result<void> flush() override { return {}; }

 private:
  static constexpr u64 kChunkBytes = 64 * kKiB;
  // Calls f(chunk number, offset in chunk, length) for each part of the range.
  template <class F>
  static void each_part(u64 offset, u64 length_bytes, F&& f);

  mutable std::mutex mutex_;
  std::string name_;
  u64 size_bytes_;
  std::map<u64, std::vector<u8>> chunks_;  // by chunk number; absent reads as zero
};

}  // namespace emu
