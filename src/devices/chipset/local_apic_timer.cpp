// SPDX-License-Identifier: Apache-2.0
// The local APIC's timer: one-shot, periodic and TSC-deadline.
// Source: Intel SDM vol. 3, 11.5.4.
#include <algorithm>

#include "base/bits.h"
#include "devices/chipset/local_apic.h"

namespace emu {
namespace {

using namespace lapic;

}  // namespace

// Figure 11-10: bits 3, 1 and 0 count 2, 4, ... 128, then 1.
unsigned LocalApic::divide_shift() const {
  const u32 value = reg(kTimerDivide);
  return ((((value >> 1) & 4) | (value & 3)) + 1) & 7;
}

u32 LocalApic::current_count() const {
  const u32 initial = reg(kTimerInitial);
  if (initial == 0 || timer_mode() == kTimerTscDeadline) return 0;
  const u64 ticks = (clock_.now_ns() - state_.timer_start_ns) >> divide_shift();
  if (timer_mode() == kTimerPeriodic) return initial - static_cast<u32>(ticks % initial);
  return ticks >= initial ? 0 : initial - static_cast<u32>(ticks);
}

void LocalApic::arm(u64 deadline_ns) {
  state_.timer_deadline_ns = deadline_ns;
  timer_->arm(remote_ ? kNever : deadline_ns);
}

// The first end of a period after now; missed ones are not made up for.
u64 LocalApic::next_period_end() const {
  const u64 now = clock_.now_ns(), period = period_ns();
  if (period == 0) return kNever;
  const u64 left = period - (now - state_.timer_start_ns) % period;
  return now + std::max(left, kMinPeriodNs);
}

void LocalApic::rearm() {
  if (timer_mode() == kTimerPeriodic) return arm(next_period_end());
  const u64 left = u64{current_count()} << divide_shift();
  arm(left == 0 ? kNever : clock_.now_ns() + left);
}

void LocalApic::start_timer(u32 initial) {
  if (timer_mode() == kTimerTscDeadline) return;
  reg(kTimerInitial) = initial;
  state_.timer_start_ns = clock_.now_ns();
  rearm();
}

// The count goes on from where it is, at another speed.
void LocalApic::write_divide(u32 value) {
  const u32 left = current_count();
  reg(kTimerDivide) = value;
  if (left == 0) return;
  const u64 done = u64{reg(kTimerInitial) - left} << divide_shift();
  state_.timer_start_ns = clock_.now_ns() - done;
  rearm();
}

// 11.5.4.1: between TSC-deadline and the others, the timer is disarmed.
void LocalApic::change_timer_mode(u32 old_mode) {
  if (old_mode == kTimerTscDeadline || timer_mode() == kTimerTscDeadline) {
    reg(kTimerInitial) = 0;
    state_.tsc_deadline = 0;
    arm(kNever);
  } else {
    rearm();
  }
}

void LocalApic::write_tsc_deadline(u64 tsc) {
  if (timer_mode() != kTimerTscDeadline) return;
  state_.tsc_deadline = tsc;
  tsc_changed();
}

void LocalApic::tsc_changed() {
  if (timer_mode() != kTimerTscDeadline) return;
  if (state_.tsc_deadline == 0) return arm(kNever);
  const u64 deadline_ns = tsc_.ns_at(state_.tsc_deadline);
  if (deadline_ns <= clock_.now_ns()) {
    arm(kNever);
    timer_fired();
  } else {
    arm(deadline_ns);
  }
}

void LocalApic::timer_fired() {
  state_.timer_deadline_ns = kNever;
  if (timer_mode() == kTimerPeriodic) arm(next_period_end());
  state_.tsc_deadline = 0;
  raise_lvt(kLvtTimer);
}

}  // namespace emu
