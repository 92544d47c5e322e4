// SPDX-License-Identifier: Apache-2.0
// VM time from the host's clock, with pause; and its timers, which the I/O thread serves.
// Threads: now_ns() any; everything else with the machine lock held.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <set>
#include <utility>

#include "base/vm_time.h"
#include "machine/host_time.h"

namespace emu {

// Starts paused at time 0.
class VmClock final : public Clock {
 public:
  // `earlier` is called when the next deadline moved forward (or time started to run), so that
  // whoever sleeps until next_wait_ns() looks again.
  explicit VmClock(std::function<void()> earlier) : earlier_(std::move(earlier)) {}
  ~VmClock() override;

  [[nodiscard]] u64 now_ns() const override;
  [[nodiscard]] std::unique_ptr<Timer> create_timer(std::function<void()> fired) override;

  // The host's, and the guest's, ticks per second.
  [[nodiscard]] u64 tsc_hz() {
    host_.settle();
    return host_.tsc_hz();
  }

  void run();
  void pause();
  [[nodiscard]] bool running() const { return frozen_ns_.load() == kNever; }
  // Sets the time; only while paused (loading a snapshot, reset of the machine keeps it).
  void set_now_ns(u64 ns);

  // Nanoseconds of host time until the next deadline: 0 if one is due, kNever if none is armed or
  // time stands still.
  [[nodiscard]] u64 next_wait_ns() const;
  // Runs the callbacks of all timers that are due now, in order of deadline.
  void fire_due();

 private:
  class VmTimer;
  void rearm(VmTimer& timer, u64 deadline_ns);

  HostTime host_;
  std::function<void()> earlier_;
  std::set<std::pair<u64, VmTimer*>> armed_;
  std::atomic<u64> frozen_ns_{0};  // the time while paused; kNever: running
  std::atomic<u64> base_ns_{0};    // host time at VM time 0, modulo 2^64
};

}  // namespace emu
