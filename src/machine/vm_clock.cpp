// SPDX-License-Identifier: Apache-2.0
#include "machine/vm_clock.h"

#include "base/check.h"

namespace emu {

class VmClock::VmTimer final : public Timer {
 public:
  VmTimer(VmClock& clock, std::function<void()> fired) : clock_(clock), fired_(std::move(fired)) {}
  ~VmTimer() override { cancel(); }
  void arm(u64 deadline_ns) override { clock_.rearm(*this, deadline_ns); }
  [[nodiscard]] u64 deadline_ns() const override { return deadline_ns_; }

 private:
  friend class VmClock;
  VmClock& clock_;
  std::function<void()> fired_;
  u64 deadline_ns_ = kNever;
};

VmClock::~VmClock() {
  EMU_CHECK(armed_.empty());  // the clock outlives its timers
}

u64 VmClock::now_ns() const {
  const u64 frozen = frozen_ns_.load(std::memory_order_acquire);
  if (frozen != kNever) return frozen;
  return host_.now_ns() - base_ns_.load(std::memory_order_acquire);
}

std::unique_ptr<Timer> VmClock::create_timer(std::function<void()> fired) {
  return std::make_unique<VmTimer>(*this, std::move(fired));
}

void VmClock::run() {
  if (running()) return;
  host_.settle();
  base_ns_.store(host_.now_ns() - frozen_ns_.load(), std::memory_order_release);
  frozen_ns_.store(kNever, std::memory_order_release);
  earlier_();
}

void VmClock::pause() {
  if (running()) frozen_ns_.store(now_ns(), std::memory_order_release);
}

void VmClock::set_now_ns(u64 ns) {
  EMU_CHECK(!running() && ns != kNever);
  frozen_ns_.store(ns, std::memory_order_release);
}

u64 VmClock::next_wait_ns() const {
  if (armed_.empty() || !running()) return kNever;
  const u64 deadline = armed_.begin()->first;
  const u64 now = now_ns();
  return deadline > now ? deadline - now : 0;
}

void VmClock::fire_due() {
  while (!armed_.empty() && running() && armed_.begin()->first <= now_ns()) {
    VmTimer* timer = armed_.begin()->second;
    armed_.erase(armed_.begin());
    timer->deadline_ns_ = kNever;
    timer->fired_();  // may arm or destroy any timer, this one too
  }
}

void VmClock::rearm(VmTimer& timer, u64 deadline_ns) {
  if (timer.deadline_ns_ == deadline_ns) return;
  if (timer.deadline_ns_ != kNever) armed_.erase({timer.deadline_ns_, &timer});
  timer.deadline_ns_ = deadline_ns;
  if (deadline_ns == kNever) return;
  const bool first = armed_.empty() || deadline_ns < armed_.begin()->first;
  armed_.insert({deadline_ns, &timer});
  if (first && running()) earlier_();
}

}  // namespace emu
