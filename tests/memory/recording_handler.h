// SPDX-License-Identifier: Apache-2.0
// A device of plain bytes that writes down, and judges, every access the bus makes.
#pragma once

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "base/bits.h"
#include "memory/io_handler.h"

namespace emu {

class RecordingHandler final : public IoHandler {
 public:
  explicit RecordingHandler(u64 size_bytes, AccessSizes sizes = {}, u8 first = 0)
      : sizes_(sizes), bytes_(size_bytes) {
    for (u64 i = 0; i < size_bytes; ++i) bytes_[i] = static_cast<u8>(first + i);
  }

  u64 read(u64 offset, unsigned size) override {
    judge(offset, size);
    log_ += fmt::format("r{}@{:x} ", size, offset);
    u64 value = 0;
    for (unsigned i = 0; i < size; ++i) value |= u64{bytes_[offset + i]} << (8 * i);
    return value;
  }
  void write(u64 offset, unsigned size, u64 value) override {
    judge(offset, size);
    log_ += fmt::format("w{}@{:x}={:x} ", size, offset, value);
    EXPECT_EQ(value, value & byte_mask(size));
    for (unsigned i = 0; i < size; ++i) bytes_[offset + i] = static_cast<u8>(value >> (8 * i));
  }

  [[nodiscard]] std::string take_log() { return std::exchange(log_, {}); }
  [[nodiscard]] u8& byte(u64 offset) { return bytes_[offset]; }

 private:
  void judge(u64 offset, unsigned size) const {
    EXPECT_GE(size, sizes_.min_bytes);
    EXPECT_LE(size, sizes_.max_bytes);
    EXPECT_TRUE(range_fits(offset, size, bytes_.size())) << offset << " " << size;
    if (!sizes_.unaligned) {
      EXPECT_EQ(offset % size, 0u);
    }
  }

  AccessSizes sizes_;
  std::vector<u8> bytes_;
  std::string log_;
};

}  // namespace emu
