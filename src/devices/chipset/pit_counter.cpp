// SPDX-License-Identifier: Apache-2.0
#include "devices/chipset/pit_counter.h"

#include <algorithm>

#include "base/vm_time.h"

namespace emu {
namespace {

// Digits above 9 count as 9.
u32 from_bcd(u16 value) {
  u32 binary = 0;
  for (unsigned shift = 16; shift != 0; shift -= 4) {
    binary = binary * 10 + std::min(u32{value} >> (shift - 4) & 15, u32{9});
  }
  return binary;
}

u16 to_bcd(u32 binary) {
  u32 value = 0;
  for (unsigned shift = 0; shift < 16; shift += 4, binary /= 10) value |= binary % 10 << shift;
  return static_cast<u16>(value);
}

}  // namespace

// The count that count_register stands for: 1..65536, or 2.. where 1 is illegal.
u32 PitCounter::loaded_count() const {
  const u32 written = state_.bcd ? from_bcd(state_.count_register) : state_.count_register;
  const u32 count = written == 0 ? modulus() : written;
  return is_periodic() && count < 2 ? 2 : count;
}

u16 PitCounter::visible_count() const {
  const u32 count = state_.count % modulus();
  return state_.bcd ? to_bcd(count) : static_cast<u16>(count);
}

void PitCounter::write_control(u8 word) {
  const u8 access = word >> 4 & 3;
  if (access == 0) return latch_count();
  const u8 mode = word >> 1 & 7;
  state_.access = access;
  state_.mode = mode > 5 ? mode - 4 : mode;
  state_.bcd = (word & 1) != 0;
  state_.out = state_.mode != 0;
  state_.null_count = true;
  state_.counting = false;
  state_.load_at_tick = false;
  state_.strobe_armed = false;
  state_.odd_half = false;
  state_.write_high_next = false;
  state_.read_high_next = false;
  state_.has_latched_count = false;
  state_.has_latched_status = false;
}

void PitCounter::write(u8 byte) {
  switch (state_.access) {
    case 1:
      return count_written(byte);
    case 2:
      return count_written(static_cast<u16>(byte << 8));
    default:
      break;
  }
  state_.write_high_next = !state_.write_high_next;
  if (!state_.write_high_next) {
    return count_written(static_cast<u16>(byte << 8 | state_.low_byte));
  }
  state_.low_byte = byte;
  if (state_.mode == 0) {  // the first byte stops the count
    state_.out = false;
    state_.counting = false;
  }
}

void PitCounter::count_written(u16 value) {
  state_.count_register = value;
  state_.null_count = true;
  switch (state_.mode) {
    case 0:
      state_.out = false;
      state_.load_at_tick = true;
      break;
    case 4:
      state_.load_at_tick = true;
      break;
    case 2:
    case 3:  // later counts wait for the end of the cycle
      if (!state_.counting) state_.load_at_tick = true;
      break;
    default:  // modes 1 and 5 wait for the trigger
      break;
  }
}

u8 PitCounter::read() {
  if (state_.has_latched_status) {
    state_.has_latched_status = false;
    return state_.latched_status;
  }
  const u16 count = state_.has_latched_count ? state_.latched_count : visible_count();
  const bool high = state_.access == 2 || (state_.access == 3 && state_.read_high_next);
  if (state_.access == 3) state_.read_high_next = !state_.read_high_next;
  if (state_.access != 3 || high) state_.has_latched_count = false;
  return static_cast<u8>(high ? count >> 8 : count);
}

void PitCounter::latch_count() {
  if (state_.has_latched_count) return;
  state_.has_latched_count = true;
  state_.latched_count = visible_count();
}

void PitCounter::latch_status() {
  if (state_.has_latched_status) return;
  state_.has_latched_status = true;
  state_.latched_status =
      static_cast<u8>((state_.out ? 0x80 : 0) | (state_.null_count ? 0x40 : 0) |
                      state_.access << 4 | state_.mode << 1 | (state_.bcd ? 1 : 0));
}

void PitCounter::set_gate(bool gate) {
  const bool rises = gate && !state_.gate;
  const bool falls = !gate && state_.gate;
  state_.gate = gate;
  if (rises && state_.mode != 0 && state_.mode != 4) {
    // Periodic counters without a count yet have nothing to restart.
    if (!is_periodic() || state_.counting) state_.load_at_tick = true;
  }
  if (falls && is_periodic()) state_.out = true;
}

u64 PitCounter::next_event() const {
  if (state_.load_at_tick) return 1;
  if (!state_.counting || gate_stops()) return kNever;
  switch (state_.mode) {
    case 2:
      return state_.out && state_.count > 1 ? state_.count - 1 : 1;
    case 3:
      return std::max<u64>(1, state_.count / 2 + (state_.odd_half ? 1 : 0));
    default:
      if (!state_.strobe_armed) return kNever;
      if ((state_.mode == 4 || state_.mode == 5) && !state_.out) return 1;
      return state_.count == 0 ? modulus() : state_.count;
  }
}

u64 PitCounter::next_rise() const {
  PitCounter future = *this;
  u64 ticks = 0;
  // At most: load, fall, rise.
  for (int i = 0; i < 4; ++i) {
    const u64 event = future.next_event();
    if (event == kNever) return kNever;
    const bool before = future.out();
    future.advance(event);
    ticks += event;
    if (!before && future.out()) return ticks;
  }
  return kNever;
}

void PitCounter::advance(u64 ticks) {
  while (ticks != 0) {
    const u64 event = next_event();
    if (event > ticks) return count_down(ticks);
    // Whole cycles change nothing once the cycle's count is the one that will be reloaded.
    if (is_periodic() && !state_.null_count && !state_.load_at_tick && ticks > loaded_count()) {
      const u64 rest = ticks % loaded_count();
      if (rest == 0) return;
      ticks = rest;
      continue;
    }
    count_down(event);
    finish_event();
    ticks -= event;
  }
}

// Ticks without an event: only the counting element moves.
void PitCounter::count_down(u64 ticks) {
  if (!state_.counting || state_.load_at_tick || gate_stops()) return;
  if (state_.mode == 3) {
    const u64 step = 2 * ticks;
    state_.count = step < state_.count ? static_cast<u32>(state_.count - step) : 0;
    return;
  }
  const u64 step = ticks % modulus();
  state_.count = static_cast<u32>((u64{state_.count} + modulus() - step) % modulus());
}

// What the tick at the end of next_event() does.
void PitCounter::finish_event() {
  if (state_.load_at_tick) return load();
  switch (state_.mode) {
    case 0:
    case 1:
      state_.out = true;
      state_.strobe_armed = false;
      break;
    case 2:
      state_.out = !state_.out;
      if (state_.out) {
        state_.count = loaded_count();
        state_.null_count = false;
      }
      break;
    case 3:
      state_.out = !state_.out;
      state_.null_count = false;
      load_half_cycle();
      break;
    default:
      state_.out = !state_.out;
      if (state_.out) state_.strobe_armed = false;
      break;
  }
}

void PitCounter::load() {
  state_.load_at_tick = false;
  state_.counting = true;
  state_.null_count = false;
  state_.count = loaded_count();
  state_.strobe_armed = !is_periodic();
  if (state_.mode == 1) state_.out = false;
  if (state_.mode == 2 || state_.mode > 3) state_.out = true;
  if (state_.mode == 3) {
    state_.out = true;
    load_half_cycle();
  }
}

// Mode 3 counts down by two; an odd count makes the high half one tick longer than the low one.
void PitCounter::load_half_cycle() {
  const u32 count = loaded_count();
  state_.count = count & ~u32{1};
  state_.odd_half = (count & 1) != 0 && state_.out;
}

void PitCounter::transfer(StateIo& io, std::string_view name) {
  io.section(name, 1, [&] {
    PitCounterState& s = state_;
    io.field(1, "mode", s.mode);
    io.field(2, "access", s.access);
    io.field(3, "bcd", s.bcd);
    io.field(4, "gate", s.gate);
    io.field(5, "out", s.out);
    io.field(6, "count", s.count);
    io.field(7, "count_register", s.count_register);
    io.field(8, "null_count", s.null_count);
    io.field(9, "counting", s.counting);
    io.field(10, "load_at_tick", s.load_at_tick);
    io.field(11, "strobe_armed", s.strobe_armed);
    io.field(12, "odd_half", s.odd_half);
    io.field(13, "write_high_next", s.write_high_next);
    io.field(14, "read_high_next", s.read_high_next);
    io.field(15, "low_byte", s.low_byte);
    io.field(16, "has_latched_count", s.has_latched_count);
    io.field(17, "latched_count", s.latched_count);
    io.field(18, "has_latched_status", s.has_latched_status);
    io.field(19, "latched_status", s.latched_status);
    io.check(s.mode <= 5, "mode is not an 8254 mode");
    io.check(s.access >= 1 && s.access <= 3, "access is not an 8254 access");
    io.check(s.count <= 65'536, "count is too great");
  });
}

}  // namespace emu
