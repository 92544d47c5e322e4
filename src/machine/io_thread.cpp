// SPDX-License-Identifier: Apache-2.0
#include "machine/io_thread.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>

#include <utility>

#include "base/check.h"

namespace emu {

IoThread::IoThread(std::mutex& machine_lock)
    : machine_lock_(machine_lock),
      wake_fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      clock_([this] { timers_changed(); }) {
  EMU_CHECK(static_cast<bool>(wake_fd_));
}

IoThread::~IoThread() {
  stop();
}

void IoThread::start() {
  stop_ = false;
  thread_ = std::thread([this] { loop(); });
}

void IoThread::stop() {
  if (!thread_.joinable()) return;
  stop_ = true;
  wake();
  thread_.join();
}

void IoThread::post(std::function<void()> work) {
  leave(std::move(work));
  // Either this sees the vCPU, or the vCPU, which first leaves and then looks, sees the work.
  if (!vcpu_serves_) wake();
}

void IoThread::leave(std::function<void()> work) {
  const std::lock_guard guard(post_lock_);
  posted_.push_back(std::move(work));
  has_posted_ = true;
}

void IoThread::serve() {
  if (!has_posted_) return;
  const std::unique_lock guard(machine_lock_, std::try_to_lock);
  if (!guard || !is_serving_) {
    if (!vcpu_serves_) wake();
    return;
  }
  static_cast<void>(run_posted());
  if (has_posted_) wake();
}

void IoThread::end_access() {
  vcpu_serves_ = false;
  if (!has_posted_) return;
  if (is_serving_) static_cast<void>(run_posted());
  if (has_posted_) wake();  // what that posted is the I/O thread's: a guest's access must end
}

void IoThread::wake() {
  if (wake_pending_.exchange(true)) return;  // it has not looked since the last one
  const u64 one = 1;
  [[maybe_unused]] const auto written = ::write(wake_fd_.get(), &one, sizeof one);
}

void IoThread::timers_changed() {
  if (std::this_thread::get_id() != thread_id_) wake();  // this thread looks before it sleeps
}

bool IoThread::run_posted() {
  std::deque<std::function<void()>> work;
  {
    const std::lock_guard guard(post_lock_);
    work.swap(posted_);
    has_posted_ = false;
  }
  for (auto& item : work) item();
  return !work.empty();
}

void IoThread::sleep(u64 wait_ns) {
  pollfd fd{wake_fd_.get(), POLLIN, 0};
  timespec timeout{};
  timeout.tv_sec = static_cast<time_t>(wait_ns / kNsPerSecond);
  timeout.tv_nsec = static_cast<long>(wait_ns % kNsPerSecond);
  if (::ppoll(&fd, 1, wait_ns == kNever ? nullptr : &timeout, nullptr) > 0) {
    u64 count = 0;
    [[maybe_unused]] const auto got = ::read(wake_fd_.get(), &count, sizeof count);
  }
  wake_pending_ = false;  // after the read: a later wake() writes again
}

void IoThread::loop() {
  ::pthread_setname_np(::pthread_self(), "emu-io");
  ::prctl(PR_SET_TIMERSLACK,
          1);  // nanoseconds; the default of 50 us would be jitter of every timer
  {
    const std::lock_guard guard(machine_lock_);
    thread_id_ = std::this_thread::get_id();
    is_serving_ = true;
  }
  for (;;) {
    u64 wait_ns = 0;
    {
      const std::lock_guard guard(machine_lock_);
      const bool worked = run_posted();
      if (!worked && stop_) {
        is_serving_ = false;
        return;
      }
      clock_.fire_due();
      wait_ns = worked ? 0 : clock_.next_wait_ns();  // work may have posted more, or asked to stop
    }
    sleep(wait_ns);
  }
}

}  // namespace emu
