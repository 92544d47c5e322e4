// SPDX-License-Identifier: Apache-2.0
// Host time: nanoseconds that agree exactly with the host's time stamp counter, which guests see.
// Why not CLOCK_MONOTONIC alone: it is slewed by NTP, so the guest's TSC and its timers would drift
// apart.
// Source: Intel SDM vol. 3 17.17.1 (invariant TSC); perf_event_open(2), cap_user_time.
#pragma once

#include "base/types.h"

namespace emu {

// now_ns() is safe from any thread once settle() has returned.
class HostTime {
 public:
  // Starts to measure the counter.
  HostTime();
  // Finds its frequency: from the kernel (perf), else over the time since the construction, of
  // which it waits for at least 10 ms. Later calls do nothing.
  void settle();

  // Ticks of the time stamp counter per second; what the guest's TSC counts, too.
  [[nodiscard]] u64 tsc_hz() const { return tsc_hz_; }
  // Nanoseconds since some fixed point.
  [[nodiscard]] u64 now_ns() const {
    if (!use_tsc_) return monotonic_ns();
    const u64 ticks = __builtin_ia32_rdtsc() - tsc_base_;
    return static_cast<u64>((u128{ticks} * multiplier_) >> kShift);
  }

 private:
  static constexpr unsigned kShift = 32;
  [[nodiscard]] static u64 monotonic_ns();

  u64 tsc_hz_ = 0;
  u64 tsc_base_ = 0;
  u64 monotonic_base_ns_ = 0;  // at tsc_base_
  u64 multiplier_ = 0;         // nanoseconds per tick, shifted left by kShift
  bool use_tsc_ = false;
};

}  // namespace emu
