// SPDX-License-Identifier: Apache-2.0
// The option ROM of a PCI card: an image that firmware copies once and runs.
// Source: PCI Local Bus Specification 3.0, 6.2.5.2 and 6.3.
#pragma once

#include <bit>
#include <memory>
#include <vector>

#include "base/bits.h"
#include "memory/address_space.h"

namespace emu {

class OptionRom final : private IoHandler {
 public:
  // `image` is not empty and at most 16 MiB. If it is a PCI ROM it becomes one for this vendor and
  // device: firmware runs no other's, and one image often serves several.
  OptionRom(std::vector<u8> image, u16 vendor, u16 device) : image_(std::move(image)) {
    set_identity(vendor, device);
    image_.resize(std::max(std::bit_ceil(image_.size()), std::size_t{2048}), 0xff);
    region_ = Region::mmio("option-rom", image_.size(), *this, AccessSizes{1, 4, false});
  }
  [[nodiscard]] Region& region() { return *region_; }

 private:
  void set_identity(u16 vendor, u16 device) {
    constexpr std::size_t kPointerAt = 0x18, kSpareByte = 6;
    if (image_.size() < kPointerAt + 2 || image_[0] != 0x55 || image_[1] != 0xaa) return;
    const std::size_t at = load_le<u16>(&image_[kPointerAt]);
    if (!range_fits(at, 8, image_.size()) || load_le<u32>(&image_[at]) != 0x52494350) return;
    u8 sum = 0;  // of the whole image, which must stay zero
    for (std::size_t i = at + 4; i < at + 8; ++i) sum = static_cast<u8>(sum + image_[i]);
    store_le(&image_[at + 4], vendor);
    store_le(&image_[at + 6], device);
    for (std::size_t i = at + 4; i < at + 8; ++i) sum = static_cast<u8>(sum - image_[i]);
    image_[kSpareByte] = static_cast<u8>(image_[kSpareByte] + sum);
  }
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
