// SPDX-License-Identifier: Apache-2.0
// The option ROM of a PCI card: an image that firmware copies once and runs.
// Source: PCI Local Bus Specification 3.0, 6.2.5.2 and 6.3.
#pragma once

#include <bit>
#include <memory>
#include <vector>

#include "memory/address_space.h"

namespace emu {

class OptionRom final : private IoHandler {
 public:
  // `image` is not empty and at most 16 MiB.
  explicit OptionRom(std::vector<u8> image) : image_(std::move(image)) {
    image_.resize(std::max(std::bit_ceil(image_.size()), std::size_t{2048}), 0xff);
    region_ = Region::mmio("option-rom", image_.size(), *this, AccessSizes{1, 4, false});
  }
  [[nodiscard]] Region& region() { return *region_; }

 private:
  [[nodiscard]] u64 read(u64 offset, unsigned size) override {
    u64 value = 0;
    for (unsigned i = 0; i < size; ++i) value |= u64{image_[offset + i]} << (8 * i);
    return value;
  }
  void write(u64, unsigned, u64) override {}

  std::vector<u8> image_;
  std::unique_ptr<Region> region_;
};

}  // namespace emu
