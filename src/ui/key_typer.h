// SPDX-License-Identifier: Apache-2.0
// Text typed on the guest's keyboard, as a user would: one stroke after the other, slowly enough
// for the keyboard's buffer.
// Limits: the guest's layout must be US, and only what its keys make can be typed.
#pragma once

#include <chrono>
#include <deque>
#include <string_view>

#include "machine/control.h"
#include "ui/terminal/terminal_keys.h"

namespace emu {

class KeyTyper {
 public:
  static constexpr std::size_t kMostStrokes = 1 << 16;  // of one paste; the rest is dropped
  static constexpr std::chrono::milliseconds kPause{8};

  // Appends text (UTF-8); line ends become Enter, other control characters and what no key makes
  // are skipped.
  void add(std::string_view text);
  // Types the next stroke if its time has come; call it often. Takes the machine lock.
  void step(MachineControl& control, std::chrono::steady_clock::time_point now);
  void stop() { strokes_.clear(); }
  [[nodiscard]] bool is_busy() const { return !strokes_.empty(); }

 private:
  std::deque<KeyStroke> strokes_;
  std::chrono::steady_clock::time_point next_{};
};

}  // namespace emu
