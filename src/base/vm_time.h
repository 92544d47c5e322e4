// SPDX-License-Identifier: Apache-2.0
// VM time: nanoseconds that pass only while the VM runs, timers on it, and exact chip ticks.
#pragma once

#include <functional>
#include <memory>

#include "base/state_io.h"
#include "base/types.h"

namespace emu {

inline constexpr u64 kNsPerSecond = 1'000'000'000;
inline constexpr u64 kNever = ~u64{0};

// A one-shot alarm on a Clock. Destroying it cancels it. Threads: the machine lock is held by every
// caller, and while the callback runs.
class Timer {
 public:
  virtual ~Timer() = default;
  // Fires once at VM time `deadline_ns` (at once if that is past); replaces an earlier deadline.
  // kNever cancels.
  virtual void arm(u64 deadline_ns) = 0;
  void cancel() { arm(kNever); }
  // The deadline, or kNever if not armed.
  [[nodiscard]] virtual u64 deadline_ns() const = 0;
};

// The VM's time. now_ns() may be read from any thread; the rest needs the machine lock.
class Clock {
 public:
  virtual ~Clock() = default;
  [[nodiscard]] virtual u64 now_ns() const = 0;
  // `fired` runs on the I/O thread with the machine lock held; the clock outlives the timer.
  [[nodiscard]] virtual std::unique_ptr<Timer> create_timer(std::function<void()> fired) = 0;
};

// A clock rate as an exact fraction, so that ticks never drift: the PIT is {3579545, 3} Hz.
struct Frequency {
  u64 numerator_hz = 1;
  u64 denominator = 1;

  // Whole ticks that have passed at VM time `ns`.
  [[nodiscard]] constexpr u64 ticks_at(u64 ns) const {
    return static_cast<u64>(u128{ns} * numerator_hz / (u128{kNsPerSecond} * denominator));
  }
  // The first nanosecond at which `ticks_at` reaches `ticks`; kNever if that overflows.
  [[nodiscard]] constexpr u64 ns_at(u64 ticks) const {
    const u128 scaled = u128{ticks} * kNsPerSecond * denominator;
    const u128 ns = (scaled + numerator_hz - 1) / numerator_hz;
    return ns > u128{kNever} ? kNever : static_cast<u64>(ns);
  }
};

inline constexpr Frequency kPitFrequency{3'579'545, 3};     // 1193181 + 2/3 Hz
inline constexpr Frequency kAcpiPmFrequency{3'579'545, 1};  // ACPI 6.4, 4.8.2.1
inline constexpr Frequency kHpetFrequency{100'000'000, 1};  // 10 ns period, as QEMU's

// A deterministic clock for tests: time moves only by advance(), which fires due timers in order
// of deadline, then of creation.
class FakeClock final : public Clock {
 public:
  FakeClock();
  ~FakeClock() override;
  [[nodiscard]] u64 now_ns() const override;
  [[nodiscard]] std::unique_ptr<Timer> create_timer(std::function<void()> fired) override;
  void advance(u64 ns);
  // Deadline of the next timer, or kNever.
  [[nodiscard]] u64 next_deadline_ns() const;

 private:
  class FakeTimer;
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace emu
