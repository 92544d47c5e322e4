// SPDX-License-Identifier: Apache-2.0
// The machine's one I/O thread: it serves timers and posted work under the machine lock.
// Source: ppoll(2), eventfd(2), prctl(2) PR_SET_TIMERSLACK.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

#include "base/unique_fd.h"
#include "block/block_backend.h"
#include "machine/vm_clock.h"

namespace emu {

class IoThread final : public Executor {
 public:
  // `machine_lock` outlives the thread object.
  explicit IoThread(std::mutex& machine_lock);
  ~IoThread() override;

  [[nodiscard]] VmClock& clock() { return clock_; }
  void start();
  // Runs what was posted so far, then ends the thread. Without the machine lock.
  void stop();
  void post(std::function<void()> work) override;

 private:
  void loop();
  void wake();
  void timers_changed();
  [[nodiscard]] bool run_posted();
  void sleep(u64 wait_ns);

  std::mutex& machine_lock_;
  UniqueFd wake_fd_;
  VmClock clock_;
  std::mutex post_lock_;
  std::deque<std::function<void()>> posted_;
  std::atomic<bool> stop_{false};
  std::atomic<bool> wake_pending_{false};
  std::thread::id thread_id_;
  std::thread thread_;
};

}  // namespace emu
