// SPDX-License-Identifier: Apache-2.0
// One counter of an Intel 8254 as a pure state machine: clock ticks in, OUT level out.
// Source: Intel 8254 data sheet (order 231164), "Mode Definitions" and figures 15 to 20.
// Not modelled: illegal counts (1 in modes 2 and 3) hang a real counter and count as 2 here; the
// counting element's value before the first load after a control word.
#pragma once

#include <array>

#include "base/state_io.h"
#include "base/types.h"

namespace emu {

// A counter's registers, also what an engine with its own 8254 exchanges with ours.
struct PitCounterState {
  u8 mode = 0;    // 0..5
  u8 access = 3;  // 1: low byte, 2: high byte, 3: low then high
  bool bcd = false;
  bool gate = true;
  bool out = false;
  u32 count = 0;              // the counting element, in binary, 0..65536
  u16 count_register = 0;     // as written, BCD if `bcd`; 0 means the greatest count
  bool null_count = true;     // count_register was not loaded into the counting element yet
  bool counting = false;      // the counting element was loaded since the control word
  bool load_at_tick = false;  // the next tick loads the counting element
  bool strobe_armed = false;  // modes 0, 1, 4, 5: OUT will still change at the end of the count
  bool odd_half = false;      // mode 3: this half cycle is one tick longer than count / 2
  bool write_high_next = false;
  bool read_high_next = false;
  u8 low_byte = 0;  // access 3: the low byte that waits for its high byte
  bool has_latched_count = false;
  u16 latched_count = 0;
  bool has_latched_status = false;
  u8 latched_status = 0;
};

class PitCounter {
 public:
  explicit PitCounter(bool gate) { state_.gate = gate; }

  // A control word for this counter; `word` bits 5..0 as in the data sheet. Access 0 latches.
  void write_control(u8 word);
  void write(u8 byte);
  [[nodiscard]] u8 read();
  // The read-back command's halves. A second latch before the first is read is ignored.
  void latch_count();
  void latch_status();
  void set_gate(bool gate);

  [[nodiscard]] bool out() const { return state_.out; }
  [[nodiscard]] bool gate() const { return state_.gate; }
  // Lets `ticks` clock pulses pass. Cost: independent of `ticks`.
  void advance(u64 ticks);
  // Ticks (at least 1) until the counting element is loaded or OUT changes; kNever if neither will.
  [[nodiscard]] u64 next_event() const;
  // Ticks until OUT rises; kNever if it does not without help.
  [[nodiscard]] u64 next_rise() const;

  [[nodiscard]] const PitCounterState& state() const { return state_; }
  void set_state(const PitCounterState& state) { state_ = state; }
  void transfer(StateIo& io, std::string_view name);

 private:
  [[nodiscard]] u32 modulus() const { return state_.bcd ? 10'000 : 65'536; }
  [[nodiscard]] u32 loaded_count() const;
  [[nodiscard]] u16 visible_count() const;
  [[nodiscard]] bool is_periodic() const { return state_.mode == 2 || state_.mode == 3; }
  [[nodiscard]] bool gate_stops() const {
    return !state_.gate && state_.mode != 1 && state_.mode != 5;
  }
  void count_written(u16 value);
  void load();
  void load_half_cycle();
  void count_down(u64 ticks);
  void finish_event();

  PitCounterState state_;
};

}  // namespace emu
