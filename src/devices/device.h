// SPDX-License-Identifier: Apache-2.0
// What every device model is.
#pragma once

#include <string_view>

#include "base/state_io.h"

namespace emu {

// A device model. It does not know its address, its IRQ number, what the time is, or which engine
// runs: windows, IrqLines and a Clock are handed to its constructor.
// Threads: the machine lock is held by every caller of every method.
class Device {
 public:
  virtual ~Device() = default;
  // Unique within a machine and stable across versions: it names the device's snapshot section.
  [[nodiscard]] virtual std::string_view name() const = 0;
  // Power-on state; also drives output lines to their reset level.
  virtual void reset() = 0;
  // Saves, loads, prints: the state fields, nothing derived. Must not touch wires or timers.
  virtual void transfer(StateIo& io) = 0;
  // After a load: rebuilds scratch fields, re-arms timers, and restore()s output lines without
  // edges.
  virtual void resumed() {}
};

}  // namespace emu
