// SPDX-License-Identifier: Apache-2.0
// Brings what the machine's voices play to one rate and one time line.
// Threads: the machine lock is held by every caller.
#pragma once

#include <array>
#include <deque>
#include <vector>

#include "devices/ports/audio.h"

namespace emu {

// Where mixed sound ends: pairs of samples at AudioMixer::kRateHz.
class AudioOutput {
 public:
  virtual ~AudioOutput() = default;
  virtual void write(std::span<const i16> stereo) = 0;
  // Nothing sounds for that long.
  virtual void silence(u64 frames) = 0;
};

class AudioMixer final : public AudioSink {
 public:
  static constexpr u32 kRateHz = 48000;

  // `output` must outlive this.
  explicit AudioMixer(AudioOutput& output) : output_(output) {}

  void play(AudioVoice voice, u64 start_ns, u32 rate_hz, std::span<const i16> stereo) override;
  // Hands over what is still mixed.
  void finish() { emit(end_); }

 private:
  using Frame = std::array<i32, 2>;
  struct Voice {
    u64 end = 0;  // the frame after its last
    u64 phase = 0;
    Frame last{};
  };
  static constexpr u64 kSameFrames = kRateHz / 50;  // an offset that is no pause
  static constexpr u64 kLagFrames = kRateHz / 20;   // until all voices have come
  static constexpr u64 kLongFrames = kRateHz;       // a gap that is not mixed

  [[nodiscard]] u64 place(Voice& voice, u64 start_ns);
  void add(u64 at, const Frame& frame);
  void emit(u64 until);

  AudioOutput& output_;
  std::array<Voice, kAudioVoices> voices_{};
  u64 first_ = 0;  // the frame that mixed_ begins with
  u64 end_ = 0;    // the frame after the last that anybody played
  bool started_ = false;
  std::deque<Frame> mixed_;
  std::vector<i16> out_;
};

}  // namespace emu
