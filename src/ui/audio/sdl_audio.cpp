// SPDX-License-Identifier: Apache-2.0
#include "ui/audio/sdl_audio.h"

namespace emu {

Result<std::unique_ptr<SdlAudio>> SdlAudio::open() {
  if (SDL_InitSubSystem(SDL_INIT_AUDIO) != 0) return fail("no sound: {}", SDL_GetError());
  SDL_AudioSpec wanted{};
  wanted.freq = static_cast<int>(AudioMixer::kRateHz);
  wanted.format = AUDIO_S16LSB;
  wanted.channels = 2;
  wanted.samples = 1024;
  const SDL_AudioDeviceID device = SDL_OpenAudioDevice(nullptr, 0, &wanted, nullptr, 0);
  if (device == 0) {
    const std::string reason = SDL_GetError();
    SDL_QuitSubSystem(SDL_INIT_AUDIO);
    return fail("no sound: {}", reason);
  }
  SDL_PauseAudioDevice(device, 0);
  return std::unique_ptr<SdlAudio>(new SdlAudio(device));
}

SdlAudio::~SdlAudio() {
  SDL_CloseAudioDevice(device_);
  SDL_QuitSubSystem(SDL_INIT_AUDIO);
}

void SdlAudio::write(std::span<const i16> stereo) {
  if (SDL_GetQueuedAudioSize(device_) > kMostQueuedBytes) return;
  SDL_QueueAudio(device_, stereo.data(), static_cast<u32>(stereo.size_bytes()));
}

}  // namespace emu
