// SPDX-License-Identifier: Apache-2.0
// What a vCPU's TLB flushes mean for ring-3 code in other processes: noted here, applied before it
// runs again. Scalar: flushes happen while the guest's vector registers are live.
#pragma once

#include "base/types.h"

namespace emu {

struct UserFlushes {
  static constexpr unsigned kMostPages = 64;
  u64 pages[kMostPages];  // linear addresses
  unsigned count = 0;
  bool all = false;

  void flush() noexcept { all = true; }
  void flush_page(u64 linear) noexcept {
    if (all || linear >= u64{1} << 47) return;
    if (count == kMostPages) {
      all = true;
    } else {
      pages[count++] = linear;
    }
  }
};

}  // namespace emu
