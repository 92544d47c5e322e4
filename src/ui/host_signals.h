// SPDX-License-Identifier: Apache-2.0
// SIGINT, SIGTERM, SIGHUP and SIGCONT as ordinary calls on an ordinary thread.
#pragma once

#include <functional>
#include <thread>

#include "base/unique_fd.h"

namespace emu {

// Make it on the main thread before any other thread starts: the signals are blocked there, and
// threads made later inherit that. SIGPIPE is blocked too: writers see EPIPE.
class HostSignals {
 public:
  HostSignals();
  // Stops listening; the signals stay blocked.
  ~HostSignals();
  HostSignals(const HostSignals&) = delete;
  HostSignals& operator=(const HostSignals&) = delete;

  // Starts to listen. `quit(signal)` runs on the first SIGINT, SIGTERM or SIGHUP; a second one ends
  // the process at once (terminal restored, status 128 + signal). `continued` runs after SIGCONT.
  // A signal that came before listen() is seen now.
  void listen(std::function<void(int)> quit, std::function<void()> continued);

 private:
  void loop();
  void handle(int number);

  UniqueFd signals_;
  UniqueFd stop_;
  std::function<void(int)> quit_;
  std::function<void()> continued_;
  bool asked_ = false;
  std::thread thread_;
};

}  // namespace emu
