// SPDX-License-Identifier: Apache-2.0
// A bounded first-in first-out queue of bytes that can be saved.
#pragma once

#include <array>
#include <initializer_list>
#include <span>

#include "base/state_io.h"
#include "base/types.h"

namespace emu {

// Holds at most `Capacity` bytes (up to 65535).
template <std::size_t Capacity>
class ByteQueue {
 public:
  [[nodiscard]] bool empty() const { return count_ == 0; }
  [[nodiscard]] std::size_t size() const { return count_; }
  [[nodiscard]] std::size_t room() const { return Capacity - count_; }
  void clear() {
    bytes_.fill(0);
    first_ = count_ = 0;
  }
  // All or nothing: returns whether there was room.
  bool push(std::span<const u8> bytes) {
    if (bytes.size() > room()) return false;
    for (const u8 byte : bytes) {
      bytes_[(first_ + count_) % Capacity] = byte;
      ++count_;
    }
    return true;
  }
  bool push(std::initializer_list<u8> bytes) {
    return push(std::span<const u8>(bytes.begin(), bytes.size()));
  }
  // The oldest byte; 0 if there is none.
  u8 pop() {
    if (count_ == 0) return 0;
    const u8 byte = bytes_[first_];
    first_ = static_cast<u16>((first_ + 1u) % Capacity);
    --count_;
    return byte;
  }
  void transfer(StateIo& io, std::string_view name) {
    io.section(name, 1, [&] {
      io.field(1, "bytes", bytes_);
      io.field(2, "first", first_);
      io.field(3, "count", count_);
      io.check(first_ < Capacity && count_ <= Capacity, "the queue's indices are out of range");
    });
  }

 private:
  static_assert(Capacity <= 0xffff);
  std::array<u8, Capacity> bytes_{};
  u16 first_ = 0;
  u16 count_ = 0;
};

}  // namespace emu
