// SPDX-License-Identifier: Apache-2.0
#include "ui/audio/sdl_audio.h"

#include <cstdlib>
#include <filesystem>

namespace emu {

bool has_sound_device() {
  if (std::getenv("SDL_AUDIODRIVER") != nullptr || std::getenv("PULSE_SERVER") != nullptr)
    return true;
  std::error_code error;
  if (const char* const runtime = std::getenv("XDG_RUNTIME_DIR")) {
    for (const char* const socket : {"pulse/native", "pipewire-0"}) {
      if (std::filesystem::exists(std::filesystem::path(runtime) / socket, error)) return true;
    }
  }
  for (const auto& entry : std::filesystem::directory_iterator("/dev/snd", error)) {
    if (entry.path().filename().string().starts_with("pcm")) return true;
  }
  return false;
}

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
