// SPDX-License-Identifier: Apache-2.0
// What a sound device asks of the host: somewhere to play.
#pragma once

#include <span>

#include "base/types.h"

namespace emu {

// The sources that are mixed.
enum class AudioVoice : u8 { kSpeaker, kCodec, kBlaster, kSynth };
inline constexpr unsigned kAudioVoices = 4;

// Machine lock held.
class AudioSink {
 public:
  virtual ~AudioSink() = default;
  // The voice sounded like this from VM time `start_ns` on: pairs of left and right samples at
  // `rate_hz` (1000..192000). Calls for one voice come in order of time; between them it is silent.
  virtual void play(AudioVoice voice, u64 start_ns, u32 rate_hz, std::span<const i16> stereo) = 0;
};

// Nobody listens.
class NullAudio final : public AudioSink {
 public:
  void play(AudioVoice, u64, u32, std::span<const i16>) override {}
};

}  // namespace emu
