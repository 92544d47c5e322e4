// SPDX-License-Identifier: Apache-2.0
#include "base/vm_time.h"

#include <algorithm>
#include <vector>

namespace emu {

struct FakeClock::State {
  u64 now_ns = 0;
  std::vector<FakeTimer*> timers;
};

class FakeClock::FakeTimer final : public Timer {
 public:
  FakeTimer(std::shared_ptr<State> state, std::function<void()> fired)
      : state_(std::move(state)), fired_(std::move(fired)) {
    state_->timers.push_back(this);
  }
  ~FakeTimer() override { std::erase(state_->timers, this); }
  void arm(u64 deadline_ns) override { deadline_ns_ = deadline_ns; }
  [[nodiscard]] u64 deadline_ns() const override { return deadline_ns_; }
  void fire() {
    deadline_ns_ = kNever;
    fired_();
  }

 private:
  std::shared_ptr<State> state_;
  std::function<void()> fired_;
  u64 deadline_ns_ = kNever;
};

FakeClock::FakeClock() : state_(std::make_shared<State>()) {}
FakeClock::~FakeClock() = default;

u64 FakeClock::now_ns() const {
  return state_->now_ns;
}

std::unique_ptr<Timer> FakeClock::create_timer(std::function<void()> fired) {
  return std::make_unique<FakeTimer>(state_, std::move(fired));
}

u64 FakeClock::next_deadline_ns() const {
  u64 next = kNever;
  for (const FakeTimer* t : state_->timers) next = std::min(next, t->deadline_ns());
  return next;
}

void FakeClock::advance(u64 ns) {
  const u64 end = state_->now_ns + ns;
  for (;;) {
    const auto first = std::min_element(
        state_->timers.begin(), state_->timers.end(),
        [](const FakeTimer* a, const FakeTimer* b) { return a->deadline_ns() < b->deadline_ns(); });
    if (first == state_->timers.end() || (*first)->deadline_ns() > end) break;
    state_->now_ns = std::max(state_->now_ns, (*first)->deadline_ns());
    (*first)->fire();
  }
  state_->now_ns = end;
}

}  // namespace emu
