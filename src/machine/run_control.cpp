// SPDX-License-Identifier: Apache-2.0
#include "machine/run_control.h"

#include <fmt/core.h>
#include <pthread.h>

#include <bit>

namespace emu {
namespace {

// How long a vCPU may take to leave guest code. Stopping takes microseconds; seconds mean that the
// host is overloaded, or a bug in the engine.
constexpr std::chrono::seconds kPatience{3600};
constexpr std::chrono::seconds kEndPatience{5};

}  // namespace

RunControl::RunControl(std::vector<Processor*> processors, Actions actions)
    : processors_(std::move(processors)), actions_(std::move(actions)) {
  running_ = static_cast<unsigned>(processors_.size());
  for (Processor* processor : processors_) {
    vcpu_threads_.emplace_back([this, processor] { vcpu_loop(*processor); });
  }
  control_thread_ = std::thread([this] { control_loop(); });
}

RunControl::~RunControl() {
  {
    const std::lock_guard guard(mutex_);
    ending_ = true;
    want_run_ = false;
  }
  requested_.notify_all();
  wanted_.notify_all();
  kick_all();
  control_thread_.join();
  for (std::thread& thread : vcpu_threads_) thread.join();
}

void RunControl::request(Request request) {
  {
    const std::lock_guard guard(mutex_);
    constexpr u32 kResume = 1u << static_cast<unsigned>(Request::kResume);
    constexpr u32 kPause = 1u << static_cast<unsigned>(Request::kPause);
    const u32 mask = 1u << static_cast<unsigned>(request);
    if (mask == kResume || mask == kPause) requests_ &= ~(kResume | kPause);
    requests_ |= mask;
    want_run_ = false;
  }
  kick_all();
  requested_.notify_all();
}

void RunControl::kick_all() {
  for (Processor* processor : processors_) processor->vcpu().kick();
}

void RunControl::control_loop() {
  ::pthread_setname_np(::pthread_self(), "emu-control");
  for (;;) {
    Request next{};
    {
      std::unique_lock guard(mutex_);
      requested_.wait(guard, [&] { return ending_ || requests_ != 0; });
      if (ending_) return;
      next = static_cast<Request>(std::bit_width(requests_) - 1);
      requests_ = next == Request::kEnd ? 0 : requests_ & ~(1u << static_cast<unsigned>(next));
    }
    const bool stopped = stop_all(next == Request::kEnd ? kEndPatience : kPatience);
    if (!stopped && next != Request::kEnd) continue;  // asked to end meanwhile, or hopeless
    if (actions_.serve(next, stopped)) run_all();
  }
}

bool RunControl::stop_all(std::chrono::seconds limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  const u32 end = 1u << static_cast<unsigned>(Request::kEnd);
  std::unique_lock guard(mutex_);
  while (running_ != 0) {
    want_run_ = false;
    guard.unlock();
    kick_all();
    guard.lock();
    parked_.wait_for(guard, std::chrono::milliseconds(100),
                     [&] { return running_ == 0 || ending_; });
    const bool give_up = std::chrono::steady_clock::now() > deadline || (requests_ & end) != 0;
    if (running_ != 0 && (give_up || ending_)) return false;
  }
  return true;
}

void RunControl::run_all() {
  {
    const std::lock_guard guard(mutex_);
    if (ending_ || requests_ != 0) return;
    want_run_ = true;
  }
  wanted_.notify_all();
}

bool RunControl::wait_until_wanted() {
  std::unique_lock guard(mutex_);
  --running_;
  parked_.notify_all();
  wanted_.wait(guard, [&] { return ending_ || want_run_; });
  if (ending_) return false;
  ++running_;
  return true;
}

void RunControl::vcpu_loop(Processor& processor) {
  ::pthread_setname_np(::pthread_self(), fmt::format("emu-cpu{}", processor.index()).c_str());
  while (wait_until_wanted()) {
    while (want_run_) {
      const StopReason reason = processor.vcpu().run(processor);
      if (reason.kind != StopReason::Kind::kKicked) actions_.stopped(processor, reason);
    }
  }
}

}  // namespace emu
