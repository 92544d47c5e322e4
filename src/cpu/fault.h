// SPDX-License-Identifier: Apache-2.0
// A guest exception on its way to being delivered.
#pragma once

#include "base/types.h"

namespace emu {

// Exception vectors (SDM vol. 3 table 6-1).
enum Vector : u8 {
  kVectorDe = 0,
  kVectorDb = 1,
  kVectorNmi = 2,
  kVectorBp = 3,
  kVectorOf = 4,
  kVectorBr = 5,
  kVectorUd = 6,
  kVectorNm = 7,
  kVectorDf = 8,
  kVectorTs = 10,
  kVectorNp = 11,
  kVectorSs = 12,
  kVectorGp = 13,
  kVectorPf = 14,
  kVectorMf = 16,
  kVectorAc = 17,
  kVectorMc = 18,
  kVectorXm = 19,
};

// Page-fault error code (SDM vol. 3 4.7).
inline constexpr u32 kPfPresent = 1, kPfWrite = 2, kPfUser = 4, kPfReserved = 8, kPfFetch = 16,
                     kPfProtectionKey = 32;

// "No fault", or the exception an operation raised. Returned by everything in this room that can
// fault; a caller that gets one must not have changed guest-visible state.
struct [[nodiscard]] Fault {
  static constexpr u8 kNone = 0xff;
  u8 vector = kNone;
  bool has_error_code = false;
  u32 error_code = 0;
  u64 address = 0;  // CR2 for #PF; bits to set in DR6 for #DB

  constexpr explicit operator bool() const { return vector != kNone; }
  static constexpr Fault none() { return {}; }
  static constexpr Fault plain(Vector v) { return {v, false, 0, 0}; }
  static constexpr Fault with_code(Vector v, u32 code) { return {v, true, code, 0}; }
  static constexpr Fault gp(u32 code = 0) { return with_code(kVectorGp, code); }
  static constexpr Fault ud() { return plain(kVectorUd); }
  static constexpr Fault page(u64 linear, u32 code) { return {kVectorPf, true, code, linear}; }
};

}  // namespace emu
