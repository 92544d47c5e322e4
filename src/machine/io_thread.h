// SPDX-License-Identifier: Apache-2.0
// The machine's one I/O thread: it serves timers and posted work under the machine lock. Posted
// work is also done by whoever has the lock anyway, which spares the guest the time a thread takes
// to wake: a vCPU after its access to a device, and the thread that did a disk's work. Source:
// ppoll(2), eventfd(2), prctl(2) PR_SET_TIMERSLACK.
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
  void leave(std::function<void()> work) override;
  void serve() override;

  // A vCPU's access to a device: holds the machine lock, and at the end runs what was posted
  // meanwhile, by this access above all.
  class DeviceAccess {
   public:
    explicit DeviceAccess(IoThread& io) : io_(io), lock_(io.machine_lock_) {
      io_.vcpu_serves_ = io_.is_serving_;
    }
    ~DeviceAccess() { io_.end_access(); }
    DeviceAccess(const DeviceAccess&) = delete;
    DeviceAccess& operator=(const DeviceAccess&) = delete;

   private:
    IoThread& io_;
    std::lock_guard<std::mutex> lock_;
  };

 private:
  void loop();
  void wake();
  void timers_changed();
  [[nodiscard]] bool run_posted();
  void end_access();
  void sleep(u64 wait_ns);

  std::mutex& machine_lock_;
  UniqueFd wake_fd_;
  VmClock clock_;
  std::mutex post_lock_;
  std::deque<std::function<void()>> posted_;
  std::atomic<bool> has_posted_{false};
  // Set while a vCPU is in a device: whoever posts then need not wake anybody.
  std::atomic<bool> vcpu_serves_{false};
  bool is_serving_ = false;  // under the machine lock: between start() and stop()
  std::atomic<bool> stop_{false};
  std::atomic<bool> wake_pending_{false};
  std::thread::id thread_id_;
  std::thread thread_;
};

}  // namespace emu
