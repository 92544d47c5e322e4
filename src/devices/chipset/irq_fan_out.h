// SPDX-License-Identifier: Apache-2.0
// The board's interrupt wires: each legacy line reaches the 8259 pair and the I/O APIC.
// Source: MultiProcessor Specification 1.4, 3.6.2 (the timer sits on I/O APIC input 2).
// Threads: the machine lock is held by every caller.
#pragma once

#include <functional>

#include "devices/irq_line.h"

namespace emu {

// Input n (0..23) goes to input n of the 8259 pair (if below 16) and input n of the I/O APIC, but
// input 0 to the I/O APIC's 2. Input 2, the cascade, is not connected. Keeps no state of its own.
// With a remote, an engine that runs both controllers, the models here only learn the levels.
class IrqFanOut final : public IrqSink {
 public:
  IrqFanOut(IrqSink& pic, IrqSink& ioapic) : pic_(pic), ioapic_(ioapic) {}

  // From now on `remote` takes the lines, by number; null: the controllers here do.
  void set_remote(std::function<void(unsigned, bool)> remote) { remote_ = std::move(remote); }

  void set_irq(unsigned input, bool active) override {
    if (input == kCascade) return;
    if (remote_) {
      restore_irq(input, active);
      return remote_(input, active);
    }
    if (input < kPicInputs) pic_.set_irq(input, active);
    ioapic_.set_irq(ioapic_input(input), active);
  }
  void restore_irq(unsigned input, bool active) override {
    if (input == kCascade) return;
    if (input < kPicInputs) pic_.restore_irq(input, active);
    ioapic_.restore_irq(ioapic_input(input), active);
  }

 private:
  static constexpr unsigned kCascade = 2;
  static constexpr unsigned kPicInputs = 16;
  [[nodiscard]] static unsigned ioapic_input(unsigned input) { return input == 0 ? 2 : input; }

  // wires
  IrqSink& pic_;
  IrqSink& ioapic_;
  std::function<void(unsigned, bool)> remote_;
};

}  // namespace emu
