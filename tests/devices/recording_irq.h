// SPDX-License-Identifier: Apache-2.0
// An interrupt input that remembers what happened to it.
#pragma once

#include <array>

#include "devices/irq_line.h"

namespace emu {

// Up to 64 inputs: their level, and how often each rose.
class RecordingIrq final : public IrqSink {
 public:
  void set_irq(unsigned input, bool active) override {
    if (active && !levels_[input]) ++rises_[input];
    levels_[input] = active;
  }
  void restore_irq(unsigned input, bool active) override { levels_[input] = active; }
  [[nodiscard]] IrqLine line(unsigned input = 0) { return IrqLine(*this, input); }
  [[nodiscard]] bool level(unsigned input = 0) const { return levels_[input]; }
  // Rising edges since the last call.
  [[nodiscard]] unsigned take_rises(unsigned input = 0) {
    const unsigned n = rises_[input];
    rises_[input] = 0;
    return n;
  }

 private:
  std::array<bool, 64> levels_{};
  std::array<unsigned, 64> rises_{};
};

}  // namespace emu
