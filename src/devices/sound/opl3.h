// SPDX-License-Identifier: Apache-2.0
// A Yamaha YMF262 (OPL3): its address and data ports, its timers, and its sound from AdPlug's copy
// of Nuked OPL3. Programs that know an OPL2 (AdLib) find one.
// Source: Yamaha YMF262 application manual; "Programming the AdLib/Sound Blaster FM Music Chips".
// Threads: the machine lock is held by every caller.
// Not modelled: the timers' interrupt (no PC card wires it), CSM mode.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "base/vm_time.h"
#include "devices/device.h"
#include "devices/ports/audio.h"
#include "memory/io_handler.h"

namespace emu {

class Opl3 final : public Device, public IoHandler {
 public:
  static constexpr u64 kPortBytes = 4;

  Opl3(Clock& clock, AudioSink& sink);
  ~Opl3() override;

  // How loud the card's mixer has it, 0..1 by side.
  void set_gain(std::array<double, 2> gain) { gain_ = gain; }

  // Offsets 0 to 3: status or address, data, and the second address and data.
  [[nodiscard]] u64 read(u64 offset, unsigned size) override;
  void write(u64 offset, unsigned size, u64 value) override;

  [[nodiscard]] std::string_view name() const override { return "opl3"; }
  void reset() override;
  void transfer(StateIo& io) override;
  void resumed() override;

 private:
  class Chip;
  void write_register(u16 address, u8 value);
  void control_timers(u8 value);
  [[nodiscard]] bool expired(unsigned timer) const;
  [[nodiscard]] u8 status() const;
  [[nodiscard]] bool any_key() const;
  // Plays up to now.
  void catch_up();
  void arm();

  // wires
  Clock& clock_;
  AudioSink& sink_;
  // parts
  std::unique_ptr<Chip> chip_;
  std::unique_ptr<Timer> timer_;
  // state (saved)
  std::array<u8, 512> registers_{};
  u16 address_ = 0;
  u64 played_ns_ = 0;
  u64 sounds_until_ns_ = 0;  // silent from then on, unless something is written
  std::array<bool, 2> timer_runs_{};
  std::array<u64, 2> timer_start_ns_{};
  std::array<bool, 2> expired_{};  // before the timers were last changed
  // scratch (rebuilt)
  std::array<double, 2> gain_{1, 1};
  std::vector<i16> samples_;
};

}  // namespace emu
