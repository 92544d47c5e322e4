// SPDX-License-Identifier: Apache-2.0
// Keeps what a device plays.
#pragma once

#include <vector>

#include "devices/ports/audio.h"

namespace emu {

class RecordingAudio final : public AudioSink {
 public:
  void play(AudioVoice which, u64 at_ns, u32 hz, std::span<const i16> stereo) override {
    voice = which;
    if (left.empty()) start_ns = at_ns;
    rate_hz = hz;
    for (std::size_t i = 0; i + 1 < stereo.size(); i += 2) {
      left.push_back(stereo[i]);
      right.push_back(stereo[i + 1]);
    }
  }
  // How often the left side went from below zero to above.
  [[nodiscard]] unsigned waves() const {
    unsigned count = 0;
    for (std::size_t i = 1; i < left.size(); ++i) count += left[i - 1] < 0 && left[i] >= 0;
    return count;
  }

  AudioVoice voice{};
  u64 start_ns = 0;
  u32 rate_hz = 0;
  std::vector<i16> left, right;
};

}  // namespace emu
