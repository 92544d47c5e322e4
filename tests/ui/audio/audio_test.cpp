// SPDX-License-Identifier: Apache-2.0
// Mixing to one time line, and WAV files.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <numbers>

#include "ui/audio/mixer.h"
#include "ui/audio/wav_file.h"

namespace emu {
namespace {

constexpr u64 kMs = 1'000'000;

class Recording final : public AudioOutput {
 public:
  void write(std::span<const i16> stereo) override {
    for (std::size_t i = 0; i < stereo.size(); i += 2) left.push_back(stereo[i]);
  }
  void silence(u64 frames) override { quiet += frames; }
  std::vector<i16> left;
  u64 quiet = 0;
};

unsigned waves(const std::vector<i16>& samples) {
  unsigned count = 0;
  for (std::size_t i = 1; i < samples.size(); ++i) count += samples[i - 1] < 0 && samples[i] >= 0;
  return count;
}

// A second of sine in blocks of 10 ms, as a device plays it.
void play_sine(AudioMixer& mixer, double hz, u32 rate, AudioVoice voice = AudioVoice::kCodec) {
  for (u32 block = 0; block < 100; ++block) {
    std::vector<i16> stereo;
    for (u32 i = rate / 100 * block; i < rate / 100 * (block + 1); ++i) {
      const double angle = 2 * std::numbers::pi * hz * i / rate;
      stereo.insert(stereo.end(), 2, static_cast<i16>(10000 * std::sin(angle)));
    }
    mixer.play(voice, 500 * kMs + block * 10 * kMs, rate, stereo);
  }
}

TEST(AudioMixer, KeepsTheFrequencyOfEveryRate) {
  for (const u32 rate : {8000u, 22000u, 44100u, 48000u, 96000u}) {
    Recording output;
    AudioMixer mixer(output);
    play_sine(mixer, 440, rate);
    mixer.finish();
    EXPECT_NEAR(static_cast<double>(output.left.size()), 48000, 48) << rate;
    EXPECT_NEAR(waves(output.left), 440, 1) << rate;
    int roughest = 0;  // a crackle would be a jump
    for (std::size_t i = 1; i < output.left.size(); ++i) {
      roughest = std::max(roughest, std::abs(output.left[i] - output.left[i - 1]));
    }
    EXPECT_LT(roughest, 10000 * 2 * std::numbers::pi * 440 / 48000 * 1.2) << rate;
  }
}

TEST(AudioMixer, AddsVoicesThatSoundTogether) {
  Recording output;
  AudioMixer mixer(output);
  const std::vector<i16> block(2 * 480, 1000);
  for (u64 i = 0; i < 10; ++i) {
    mixer.play(AudioVoice::kCodec, i * 10 * kMs, 48000, block);
    if (i >= 5) mixer.play(AudioVoice::kSpeaker, i * 10 * kMs, 48000, block);
  }
  mixer.finish();
  ASSERT_EQ(output.left.size(), 4800u);
  EXPECT_EQ(output.left[1000], 1000);
  EXPECT_EQ(output.left[4000], 2000);
}

TEST(AudioMixer, LongPausesAreNotMixed) {
  Recording output;
  AudioMixer mixer(output);
  const std::vector<i16> block(2 * 480, 1000);
  mixer.play(AudioVoice::kCodec, 0, 48000, block);
  mixer.play(AudioVoice::kCodec, 10'000 * kMs, 48000, block);
  mixer.finish();
  EXPECT_EQ(output.left.size(), 960u);
  EXPECT_EQ(output.quiet, 480000u - 480);
}

TEST(WavFile, HasTheSamplesAndTheirNumber) {
  char folder[] = "/tmp/emu-wav-XXXXXX";
  const std::string path = std::string(::mkdtemp(folder)) + "/out.wav";
  {
    auto file = WavFile::create(path);
    ASSERT_TRUE(file) << file.error().message;
    AudioMixer mixer(**file);
    play_sine(mixer, 440, 48000);
    mixer.finish();
  }
  std::ifstream in(path, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(in), {}};
  ::unlink(path.c_str());
  ::rmdir(folder);
  EXPECT_EQ(bytes.size(), 44 + 48000 * 4u);
  EXPECT_EQ(bytes.substr(0, 4), "RIFF");
  EXPECT_EQ(bytes.substr(36, 4), "data");
  EXPECT_EQ(static_cast<u8>(bytes[40]) | static_cast<u8>(bytes[41]) << 8 |
                static_cast<u8>(bytes[42]) << 16,
            48000 * 4);
  EXPECT_FALSE(WavFile::create("/nonexistent/out.wav"));
}

}  // namespace
}  // namespace emu
