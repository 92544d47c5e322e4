// SPDX-License-Identifier: Apache-2.0
#include "cli/host_sound.h"

#include "base/log.h"
#include "ui/audio/sdl_audio.h"
#include "ui/audio/wav_file.h"

namespace emu::cli {

HostSound::HostSound(std::unique_ptr<AudioOutput> output) : output_(std::move(output)) {
  if (output_ != nullptr) mixer_ = std::make_unique<AudioMixer>(*output_);
}

HostSound::~HostSound() {
  if (mixer_ != nullptr) mixer_->finish();
}

Result<std::unique_ptr<HostSound>> HostSound::open(const MachineConfig& config) {
  constexpr std::string_view kWav = "wav:";
  if (config.audio.starts_with(kWav)) {
    auto file = WavFile::create(config.audio.substr(kWav.size()));
    if (!file) return file.error();
    return std::make_unique<HostSound>(std::move(*file));
  }
  const bool wanted = config.audio == "sdl";
  if (!wanted &&
      (config.audio == "none" || config.display != DisplayKind::kWindow || !has_sound_device()))
    return std::make_unique<HostSound>(nullptr);
  auto device = SdlAudio::open();
  if (!device && wanted) return device.error();
  if (!device) {
    log(LogLevel::kInfo, "audio", "{}", device.error().message);
    return std::make_unique<HostSound>(nullptr);
  }
  return std::make_unique<HostSound>(std::move(*device));
}

}  // namespace emu::cli
