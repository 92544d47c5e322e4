// SPDX-License-Identifier: Apache-2.0
// Memory for many small things that are forgotten together.
#pragma once

#include <algorithm>
#include <memory>
#include <new>
#include <span>
#include <type_traits>
#include <vector>

#include "base/check.h"
#include "base/types.h"

namespace emu {

// A bump allocator. Nothing in it is ever destroyed: trivial types only.
class Arena {
 public:
  template <class T>
  [[nodiscard]] T& make() {
    static_assert(std::is_trivially_destructible_v<T>);
    return *new (allocate(sizeof(T))) T;
  }
  // A copy of `values` that lives until clear().
  template <class T>
  [[nodiscard]] std::span<T> copy(std::span<const T> values) {
    static_assert(std::is_trivially_copyable_v<T>);
    if (values.empty()) return {};
    T* to = static_cast<T*>(allocate(values.size_bytes()));
    std::copy(values.begin(), values.end(), to);
    return {to, values.size()};
  }
  void clear() {
    chunks_.clear();
    free_ = end_ = nullptr;
  }

 private:
  static constexpr std::size_t kChunkBytes = 256 * kKiB;
  static constexpr std::size_t kAlign = alignof(u64);

  void* allocate(std::size_t size) {
    size = (size + kAlign - 1) / kAlign * kAlign;
    if (static_cast<std::size_t>(end_ - free_) < size) {
      const std::size_t bytes = std::max(size, kChunkBytes);
      chunks_.emplace_back(new u8[bytes]);  // not zeroed
      free_ = chunks_.back().get();
      end_ = free_ + bytes;
    }
    u8* at = free_;
    free_ += size;
    return at;
  }

  std::vector<std::unique_ptr<u8[]>> chunks_;
  u8* free_ = nullptr;
  u8* end_ = nullptr;
};

}  // namespace emu
