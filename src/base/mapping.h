// SPDX-License-Identifier: Apache-2.0
// An owned mmap region.
#pragma once

#include <span>
#include <utility>

#include "base/result.h"
#include "base/types.h"

namespace emu {

// Unmaps its range when destroyed; empty when default-constructed.
class Mapping {
 public:
  Mapping() = default;
  // Takes over [address, address + size_bytes), which came from mmap.
  Mapping(void* address, u64 size_bytes) : address_(address), size_bytes_(size_bytes) {}
  Mapping(Mapping&& other) noexcept
      : address_(std::exchange(other.address_, nullptr)),
        size_bytes_(std::exchange(other.size_bytes_, 0)) {}
  Mapping& operator=(Mapping&& other) noexcept;
  ~Mapping() { reset(); }

  // Zeroed private memory; `size_bytes` is rounded up to whole pages. Errors: the host's ENOMEM.
  [[nodiscard]] static Result<Mapping> anonymous(u64 size_bytes);

  [[nodiscard]] u8* data() const { return static_cast<u8*>(address_); }
  [[nodiscard]] u64 size_bytes() const { return size_bytes_; }
  [[nodiscard]] std::span<u8> span() const { return {data(), size_bytes_}; }
  void reset();

 private:
  void* address_ = nullptr;
  u64 size_bytes_ = 0;
};

}  // namespace emu
