// SPDX-License-Identifier: Apache-2.0
// Interrupt wires.
#pragma once

#include "base/types.h"

namespace emu {

// The receiving end: a numbered input of an interrupt controller, gate or CPU.
class IrqSink {
 public:
  virtual ~IrqSink() = default;
  // The input's level as seen by the receiver (active = true, whatever the polarity on the board).
  virtual void set_irq(unsigned input, bool active) = 0;
  // After a load: takes the level without acting on an edge.
  virtual void restore_irq(unsigned input, bool active) = 0;
};

// One wire from one output to one input. Several outputs on one input go through an IrqOrGate.
class IrqLine {
 public:
  IrqLine() = default;  // not connected
  IrqLine(IrqSink& sink, unsigned input) : sink_(&sink), input_(input) {}
  void set(bool active) {
    if (sink_ != nullptr) sink_->set_irq(input_, active);
  }
  // Active, then inactive: an edge.
  void pulse() {
    set(true);
    set(false);
  }
  void restore(bool active) {
    if (sink_ != nullptr) sink_->restore_irq(input_, active);
  }

 private:
  IrqSink* sink_ = nullptr;
  unsigned input_ = 0;
};

// ORs up to 64 inputs onto one output. Its state is derived: every driver restores its own level.
class IrqOrGate final : public IrqSink {
 public:
  explicit IrqOrGate(IrqLine output) : output_(output) {}
  void set_irq(unsigned input, bool active) override {
    if (update(input, active)) output_.set(levels_ != 0);
  }
  void restore_irq(unsigned input, bool active) override {
    update(input, active);
    output_.restore(levels_ != 0);
  }

 private:
  bool update(unsigned input, bool active) {
    const u64 before = levels_;
    const u64 mask = u64{1} << (input & 63);
    levels_ = active ? levels_ | mask : levels_ & ~mask;
    return (before != 0) != (levels_ != 0);
  }
  IrqLine output_;
  u64 levels_ = 0;
};

// A message-signalled interrupt is a 32-bit write into the memory address space.
class MsiSink {
 public:
  virtual ~MsiSink() = default;
  virtual void send_msi(u64 address, u32 data) = 0;
};

}  // namespace emu
