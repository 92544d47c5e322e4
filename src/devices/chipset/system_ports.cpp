// SPDX-License-Identifier: Apache-2.0
#include "devices/chipset/system_ports.h"

namespace emu {
namespace {

// DRAM refresh requests came every 18 ticks of counter 1 (15 us); each one toggles the bit.
constexpr u64 kRefreshTicks = 18;

}  // namespace

u64 Port61::read(u64, unsigned) {
  u8 value = control_;
  if (kPitFrequency.ticks_at(clock_.now_ns()) / kRefreshTicks % 2 != 0) value |= kRefresh;
  if (pit_.out2()) value |= kOut2;
  return value;
}

void Port61::write(u64, unsigned, u64 value) {
  control_ = static_cast<u8>(value) & kWritable;
  pit_.set_gate2((control_ & kGate2) != 0);
  tell_tone();
}

void Port61::tell_tone() {
  constexpr u8 kTone = kGate2 | kSpeakerData;
  if (tone_) tone_((control_ & kTone) == kTone);
}

void Port61::reset() {
  control_ = 0;
  pit_.set_gate2(false);
  tell_tone();
}

void Port61::transfer(StateIo& io) {
  io.section(name(), 1, [&] { io.field(1, "control", control_); });
}

u64 Port92::read(u64, unsigned) {
  return control_;
}

void Port92::write(u64, unsigned, u64 value) {
  const u8 before = control_;
  control_ = static_cast<u8>(value);
  a20_.set((control_ & kA20) != 0);
  if ((control_ & ~before & kFastReset) != 0) request_reset_();
}

void Port92::transfer(StateIo& io) {
  io.section(name(), 1, [&] { io.field(1, "control", control_); });
}

}  // namespace emu
