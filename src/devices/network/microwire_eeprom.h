// SPDX-License-Identifier: Apache-2.0
// A 93C46: the serial EEPROM of 64 words in which network cards keep their address.
// Source: Microchip 93AA46/93C46 data sheet, "Read"; Intel 317453, 5.3.1; RTL8139C data sheet.
// Threads: the machine lock is held by every caller.
// Not modelled: writing and erasing; they are taken and do nothing.
#pragma once

#include <array>

#include "base/bits.h"
#include "base/state_io.h"
#include "base/types.h"

namespace emu {

class MicrowireEeprom {
 public:
  static constexpr unsigned kWords = 64;
  using Words = std::array<u16, kWords>;

  void fill(const Words& words) { words_ = words; }
  [[nodiscard]] u16 word(unsigned index) const { return words_[index % kWords]; }

  // The three input wires' levels. A command is a start bit, two bits of operation (read is 10) and
  // six of address, each taken as the clock rises while selected; then sixteen bits come out, the
  // highest first, behind a dummy zero. Reading on goes to the next word.
  void set_wires(bool select, bool clock, bool in);
  [[nodiscard]] bool out() const {
    return !reading_ || (out_bit_ != 0 && bit(word(word_), 16u - out_bit_));
  }

  void reset();
  // Adds a section of its own; the words are not state.
  void transfer(StateIo& io);

 private:
  // parts
  Words words_{};
  // state (saved)
  bool clock_ = false, reading_ = false;
  u16 shift_ = 0;
  u8 bits_ = 0;     // taken since selected
  u8 out_bit_ = 0;  // of the word being read, from the high end; 0: the dummy zero
  u8 word_ = 0;
};

}  // namespace emu
