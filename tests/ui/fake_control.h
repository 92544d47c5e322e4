// SPDX-License-Identifier: Apache-2.0
// A machine that is only its controls: records what a user interface asks of it.
#pragma once

#include <condition_variable>
#include <string>
#include <vector>

#include "machine/control.h"

namespace emu::testing {

class FakeControl : public MachineControl {
 public:
  MachineLock lock() override { return MachineLock(mutex_); }
  void pause() override { paused_ = true; }
  void resume() override { paused_ = false; }
  bool paused() const override { return paused_; }
  void reset() override { ++resets; }
  void press_power_button() override { ++power_presses; }
  bool hears_power_button() override { return hears_power_presses; }
  void request_quit() override { finish(); }
  bool finished() const override {
    const std::lock_guard lock(finish_mutex_);
    return finished_;
  }
  bool wait_finished(std::chrono::milliseconds limit) override {
    std::unique_lock lock(finish_mutex_);
    return changed_.wait_for(lock, limit, [this] { return finished_; });
  }
  DisplaySource* display() override { return display_source; }
  KeyboardSink* keyboard() override { return keyboard_sink; }
  MouseSink* mouse() override { return mouse_sink; }
  TabletSink* tablet() override { return tablet_sink; }
  std::string guest_name() const override { return "test.qcow2"; }
  std::string engine_name() const override { return "fake"; }

  void finish() {
    const std::lock_guard lock(finish_mutex_);
    finished_ = true;
    changed_.notify_all();
  }

  DisplaySource* display_source = nullptr;
  KeyboardSink* keyboard_sink = nullptr;
  MouseSink* mouse_sink = nullptr;
  TabletSink* tablet_sink = nullptr;
  int resets = 0;
  int power_presses = 0;
  bool hears_power_presses = false;

 private:
  std::mutex mutex_;
  mutable std::mutex finish_mutex_;
  std::condition_variable changed_;
  bool finished_ = false;
  bool paused_ = false;
};

}  // namespace emu::testing
