// SPDX-License-Identifier: Apache-2.0
// Bit fields, alignment and unaligned little-endian access.
#pragma once

#include <bit>
#include <concepts>
#include <cstring>

#include "base/types.h"

namespace emu {

// Bits [low, low + count) of `value`, shifted down. `count` is 1..64, `low + count` at most 64.
constexpr u64 bits(u64 value, unsigned low, unsigned count) {
  return (value >> low) & (count >= 64 ? ~u64{0} : (u64{1} << count) - 1);
}

// Whether bit `n` (0..63) of `value` is set.
constexpr bool bit(u64 value, unsigned n) {
  return ((value >> n) & 1) != 0;
}

// A mask of the low `count` bits; `count` is 0..64.
constexpr u64 low_mask(unsigned count) {
  return count >= 64 ? ~u64{0} : (u64{1} << count) - 1;
}

// A mask of the low `bytes` bytes; `bytes` is 0..8.
constexpr u64 byte_mask(unsigned bytes) {
  return low_mask(bytes * 8);
}

// `value` with its low `from` bits (1..64) sign-extended to 64.
constexpr u64 sign_extend(u64 value, unsigned from) {
  return static_cast<u64>(static_cast<i64>(value << (64 - from)) >> (64 - from));
}

// `alignment` is a power of two.
constexpr u64 align_down(u64 value, u64 alignment) {
  return value & ~(alignment - 1);
}
constexpr u64 align_up(u64 value, u64 alignment) {
  return (value + alignment - 1) & ~(alignment - 1);
}

// Whether [offset, offset + length) lies inside [0, size); free of overflow.
constexpr bool range_fits(u64 offset, u64 length, u64 size) {
  return length <= size && offset <= size - length;
}

// Unaligned little-endian access to `sizeof(T)` bytes at `p`.
template <std::integral T>
T load_le(const void* p) {
  T v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
template <std::integral T>
void store_le(void* p, T v) {
  std::memcpy(p, &v, sizeof v);
}
template <std::unsigned_integral T>
T load_be(const void* p) {
  T v = load_le<T>(p);
  if constexpr (sizeof(T) == 2) v = __builtin_bswap16(v);
  if constexpr (sizeof(T) == 4) v = __builtin_bswap32(v);
  if constexpr (sizeof(T) == 8) v = __builtin_bswap64(v);
  return v;
}
template <std::unsigned_integral T>
void store_be(void* p, T v) {
  if constexpr (sizeof(T) == 2) v = __builtin_bswap16(v);
  if constexpr (sizeof(T) == 4) v = __builtin_bswap32(v);
  if constexpr (sizeof(T) == 8) v = __builtin_bswap64(v);
  store_le(p, v);
}

static_assert(std::endian::native == std::endian::little, "emu runs on x86-64 hosts only");

}  // namespace emu
