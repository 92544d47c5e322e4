// SPDX-License-Identifier: Apache-2.0
// Sound through SDL 2.
// Source: SDL 2 wiki, SDL_OpenAudioDevice, SDL_QueueAudio.
#pragma once

#include <SDL.h>

#include <memory>

#include "base/result.h"
#include "ui/audio/mixer.h"

namespace emu {

// Whether this host shows any sign of a sound device or sound server. Sound libraries complain on
// standard error when one tries without.
[[nodiscard]] bool has_sound_device();

class SdlAudio final : public AudioOutput {
 public:
  // On the main thread. Errors: this host has no sound device; SDL's reason.
  [[nodiscard]] static Result<std::unique_ptr<SdlAudio>> open();
  ~SdlAudio() override;
  SdlAudio(const SdlAudio&) = delete;
  SdlAudio& operator=(const SdlAudio&) = delete;

  // What would come more than kMostQueuedBytes late is dropped.
  void write(std::span<const i16> stereo) override;
  void silence(u64) override {}  // the device plays silence when nothing is queued

 private:
  static constexpr u32 kMostQueuedBytes = AudioMixer::kRateHz;  // a quarter of a second
  explicit SdlAudio(SDL_AudioDeviceID device) : device_(device) {}
  const SDL_AudioDeviceID device_;
};

}  // namespace emu
