// SPDX-License-Identifier: Apache-2.0
// The PC's loudspeaker: what counter 2 of the 8254 and port 61h make of it, as samples.
// Source: Intel 8254 data sheet, mode 3; IBM PC/AT technical reference, "Speaker Tone Generation".
// Threads: the machine lock is held by every caller.
// Not modelled: sound by toggling the speaker bit or by other counter modes (they are silent).
#pragma once

#include <memory>
#include <vector>

#include "base/vm_time.h"
#include "devices/chipset/i8254.h"
#include "devices/device.h"
#include "devices/ports/audio.h"

namespace emu {

class PcSpeaker final : public Device {
 public:
  PcSpeaker(I8254& pit, Clock& clock, AudioSink& sink);

  // Port 61h's gate of counter 2 and speaker bit are both set, or not.
  void set_on(bool on);

  [[nodiscard]] std::string_view name() const override { return "pc-speaker"; }
  void reset() override { set_on(false); }
  void transfer(StateIo& io) override;
  void resumed() override;

 private:
  static constexpr u32 kRateHz = 48000;
  static constexpr u64 kBlockNs = 10'000'000;
  void play();
  void arm();

  // wires
  I8254& pit_;
  Clock& clock_;
  AudioSink& sink_;
  // parts
  std::unique_ptr<Timer> timer_;
  // state (saved)
  bool on_ = false;
  u64 played_ns_ = 0;  // up to here
  u32 phase_ = 0;      // of the wave, as a fraction of 2^32
  // scratch (rebuilt)
  std::vector<i16> samples_;
};

}  // namespace emu
