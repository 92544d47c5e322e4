// SPDX-License-Identifier: Apache-2.0
// Byte moves for scalar code: the library's use vector registers, which belong to the guest there.
#pragma once

#include "base/types.h"

namespace emu {

// Copies `n` bytes between ranges that do not overlap.
inline void copy_bytes(u8* to, const u8* from, u64 n) noexcept {
  asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
}

// The same for one access of a processor: whole if it has 1, 2, 4 or 8 bytes and is aligned.
inline void copy_access(u8* to, const u8* from, u64 n) noexcept {
  switch (n) {
    case 1:
      *to = *from;
      break;
    case 2:
      __builtin_memcpy(to, from, 2);
      break;
    case 4:
      __builtin_memcpy(to, from, 4);
      break;
    case 8:
      __builtin_memcpy(to, from, 8);
      break;
    default:
      copy_bytes(to, from, n);
  }
}
inline void fill_bytes(u8* to, u8 value, u64 n) noexcept {
  asm volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(value) : "memory");
}

inline u64 load_unaligned(const u8* p) noexcept {
  u64 v;
  __builtin_memcpy(&v, p, sizeof v);
  return v;
}

}  // namespace emu
