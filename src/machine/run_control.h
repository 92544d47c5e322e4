// SPDX-License-Identifier: Apache-2.0
// The vCPU threads and the thread that stops, starts and resets them.
// Threads: requests from any thread, with or without the machine lock, never blocking; run_all()
// and stop_all() only on the control thread, without the machine lock.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "machine/processor.h"

namespace emu {

class RunControl {
 public:
  // What a machine can be asked for. Of several at once, the highest is served first; kEnd drops
  // the others, and of kResume and kPause the later one counts.
  enum class Request : u8 { kResume, kPause, kReset, kEnd };

  struct Actions {
    // On the control thread, with the vCPUs stopped (`all_stopped` false: only for kEnd, one of
    // them hangs in its engine). Returns whether they shall run on.
    std::function<bool(Request, bool all_stopped)> serve;
    // On a vCPU's thread, when its run() returned for a reason other than a kick.
    std::function<void(Processor&, const StopReason&)> stopped;
  };

  RunControl(std::vector<Processor*> processors, Actions actions);
  // Ends all threads; the vCPUs stop where they are.
  ~RunControl();
  RunControl(const RunControl&) = delete;
  RunControl& operator=(const RunControl&) = delete;

  // Stops the vCPUs as soon as they look, then serves the request on the control thread.
  void request(Request request);

 private:
  void control_loop();
  void vcpu_loop(Processor& processor);
  [[nodiscard]] bool wait_until_wanted();
  // False: a vCPU did not stop within `limit`.
  [[nodiscard]] bool stop_all(std::chrono::seconds limit);
  void run_all();
  void kick_all();

  const std::vector<Processor*> processors_;
  const Actions actions_;
  std::mutex mutex_;
  std::condition_variable requested_;  // for the control thread
  std::condition_variable parked_;     // for the control thread
  std::condition_variable wanted_;     // for the vCPU threads
  u32 requests_ = 0;                   // bits by Request
  unsigned running_ = 0;               // vCPU threads that are not parked
  bool ending_ = false;
  std::atomic<bool> want_run_{false};
  std::vector<std::thread> vcpu_threads_;
  std::thread control_thread_;
};

}  // namespace emu
