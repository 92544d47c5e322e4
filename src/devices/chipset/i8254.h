// SPDX-License-Identifier: Apache-2.0
// The Intel 8254 interval timer of a PC: ports 40h-43h over three PitCounters.
// Source: Intel 8254 data sheet (order 231164); OSDev "Programmable Interval Timer".
// Threads: the machine lock is held by every caller.
// Not modelled: OUT0 falling at its own time: the wire falls just before it rises again, which the
// edge-triggered IRQ 0 cannot tell and which halves the timer events.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <optional>

#include "base/vm_time.h"
#include "devices/chipset/pit_counter.h"
#include "devices/device.h"
#include "devices/io_window.h"
#include "devices/irq_line.h"

namespace emu {

class I8254 final : public Device {
 public:
  static constexpr unsigned kChannels = 3;

  // `out0` is counter 0's OUT (IRQ 0).
  I8254(IrqLine out0, Clock& clock);

  // Ports 40h..43h, byte registers.
  [[nodiscard]] IoHandler& ports() { return ports_; }

  // Counter 2's gate and output, for port 61h.
  void set_gate2(bool gate);
  [[nodiscard]] bool out2();

  // A counter (0..2) brought to the present, for an engine with its own 8254. After set_state() of
  // all counters, call resumed().
  [[nodiscard]] const PitCounterState& state(unsigned channel);
  void set_state(unsigned channel, const PitCounterState& state);
  // The same as it was last brought there.
  [[nodiscard]] const PitCounterState& known_state(unsigned channel) const {
    return channels_[channel % kChannels].counter.state();
  }

  // While an engine runs this chip: the counters here are a copy that drives no wire. `refresh`
  // brings it to the present by set_state(), `changed` hears of gate 2. Null: this is the chip.
  struct Remote {
    std::function<void()> refresh;
    std::function<void()> changed;
  };
  void set_remote(std::optional<Remote> remote);

  [[nodiscard]] std::string_view name() const override { return "i8254"; }
  void reset() override;
  void transfer(StateIo& io) override;
  void resumed() override;

 private:
  struct Channel {
    explicit Channel(bool gate) : counter(gate) {}
    PitCounter counter;
    u64 at_ticks = 0;  // the PIT tick that `counter` has reached
  };

  u64 read(u64 offset, unsigned size);
  void write(u64 offset, unsigned size, u64 value);
  void write_control(u8 word);
  void read_back(u8 word);
  [[nodiscard]] u64 now_ticks() const;
  Channel& present(unsigned index);
  void timer_fired();
  void arm(u64 earliest_ns = 0);

  // wires
  IrqLine out0_;
  Clock& clock_;
  std::optional<Remote> remote_;
  // parts
  IoWindow<I8254> ports_{*this, &I8254::read, &I8254::write};
  std::unique_ptr<Timer> timer_;
  // state (saved)
  std::array<Channel, kChannels> channels_{Channel(true), Channel(true), Channel(false)};
};

}  // namespace emu
