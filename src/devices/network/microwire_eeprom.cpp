// SPDX-License-Identifier: Apache-2.0
#include "devices/network/microwire_eeprom.h"

#include <utility>

namespace emu {

void MicrowireEeprom::set_wires(bool select, bool clock, bool in) {
  const bool rises = !std::exchange(clock_, clock) && clock;
  if (!select) {
    bits_ = 0;
    shift_ = 0;
    reading_ = false;
    return;
  }
  if (!rises) return;
  if (reading_) {
    if (++out_bit_ > 16) {
      out_bit_ = 1;
      word_ = static_cast<u8>((word_ + 1) % kWords);
    }
    return;
  }
  if (bits_ == 0 && !in) return;  // before the start bit
  shift_ = static_cast<u16>(shift_ << 1 | (in ? 1 : 0));
  if (++bits_ < 9) return;
  reading_ = (shift_ >> 6 & 7) == 6;
  word_ = shift_ & 0x3f;
  out_bit_ = 0;
  bits_ = 0;
}

void MicrowireEeprom::reset() {
  clock_ = reading_ = false;
  shift_ = 0;
  bits_ = out_bit_ = word_ = 0;
}

void MicrowireEeprom::transfer(StateIo& io) {
  io.section("eeprom", 1, [&] {
    io.field(1, "clock", clock_);
    io.field(2, "reading", reading_);
    io.field(3, "shift", shift_);
    io.field(4, "bits", bits_);
    io.field(5, "out_bit", out_bit_);
    io.field(6, "word", word_);
    io.check(bits_ < 9 && out_bit_ <= 16 && word_ < kWords,
             "the EEPROM's shift register is out of range");
  });
}

}  // namespace emu
