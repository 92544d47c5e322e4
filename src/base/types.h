// SPDX-License-Identifier: Apache-2.0
// Fixed-width integer names and the strong address type.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>

namespace emu {

using u8 = std::uint8_t;
using u16 = std::uint16_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;
using i8 = std::int8_t;
using i16 = std::int16_t;
using i32 = std::int32_t;
using i64 = std::int64_t;
__extension__ using u128 = unsigned __int128;
__extension__ using i128 = __int128;

// An address in one particular address space. Differences are plain byte counts; mixing two spaces
// does not compile. Arithmetic wraps modulo 2^64, as the hardware's adders do.
template <class Space>
struct Address {
  u64 value = 0;

  constexpr Address() = default;
  constexpr explicit Address(u64 v) : value(v) {}
  constexpr auto operator<=>(const Address&) const = default;
  constexpr Address operator+(u64 bytes) const { return Address{value + bytes}; }
  constexpr Address operator-(u64 bytes) const { return Address{value - bytes}; }
  constexpr u64 operator-(Address other) const { return value - other.value; }
  constexpr Address& operator+=(u64 bytes) {
    value += bytes;
    return *this;
  }
};

struct PhysSpace;
struct LinearSpace;
using PhysAddr = Address<PhysSpace>;      // guest-physical
using LinearAddr = Address<LinearSpace>;  // guest-linear: after segmentation, before paging

inline constexpr u64 kKiB = 1024;
inline constexpr u64 kMiB = 1024 * kKiB;
inline constexpr u64 kGiB = 1024 * kMiB;
inline constexpr u64 kTiB = 1024 * kGiB;
inline constexpr u64 kPageBytes = 4096;

}  // namespace emu
