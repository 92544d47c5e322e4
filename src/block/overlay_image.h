// SPDX-License-Identifier: Apache-2.0
// Throw-away writes: a disk over another that is never changed.
// Threads: any; reads share the lock.
#pragma once

#include <memory>
#include <shared_mutex>
#include <unordered_map>

#include "block/disk_image.h"

namespace emu {

// Changed pieces of the disk live in a scratch file, one slot each, in the order they were first
// written.
class OverlayImage final : public DiskImage {
 public:
  OverlayImage(std::unique_ptr<DiskImage> base, std::unique_ptr<ByteFile> scratch)
      : base_(std::move(base)), scratch_(std::move(scratch)) {}

  [[nodiscard]] u64 size_bytes() const override { return base_->size_bytes(); }
  [[nodiscard]] bool read_only() const override { return false; }
  [[nodiscard]] std::string describe() const override;
  Result<void> read(u64 offset, Pieces out) override;
  [[nodiscard]] bool read_at_once(u64 offset, Pieces out) override;
  Result<void> write(u64 offset, Pieces in) override;
  Result<void> write_zeroes(u64 offset, u64 length_bytes) override;
  Result<void> discard(u64, u64) override { return {}; }
  // Nothing here is meant to last.
  Result<void> flush() override { return {}; }
  [[nodiscard]] ImageInfo info() const override { return base_->info(); }

 private:
  static constexpr u64 kSlotBytes = 64 * kKiB;
  Result<void> write_slot(u64 offset, Pieces in);

  std::unique_ptr<DiskImage> base_;
  std::unique_ptr<ByteFile> scratch_;
  std::shared_mutex lock_;                // guards the map
  std::unordered_map<u64, u64> slot_of_;  // piece of the disk -> slot in the scratch file
};

}  // namespace emu
