// SPDX-License-Identifier: Apache-2.0
#include "machine/run_control.h"

#include <fmt/core.h>
#include <pthread.h>

#include <bit>

namespace emu {

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
    requests_ |= 1u << static_cast<unsigned>(request);
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
    stop_all();
    if (actions_.serve(next)) run_all();
  }
}

void RunControl::stop_all() {
  want_run_ = false;
  kick_all();
  std::unique_lock guard(mutex_);
  parked_.wait(guard, [&] { return running_ == 0; });
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
