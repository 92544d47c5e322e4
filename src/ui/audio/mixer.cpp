// SPDX-License-Identifier: Apache-2.0
#include "ui/audio/mixer.h"

#include <algorithm>

#include "base/vm_time.h"

namespace emu {
namespace {

constexpr unsigned kFraction = 32;  // bits of a position between two samples

i32 between(i32 a, i32 b, u64 phase) {
  const i64 part = static_cast<i64>(phase & 0xffffffff) >> 16;
  return static_cast<i32>(a + ((i64{b} - a) * part >> 16));
}

}  // namespace

// The frame at which the voice goes on.
u64 AudioMixer::place(Voice& voice, u64 start_ns) {
  const u64 start = Frequency{kRateHz, 1}.ticks_at(start_ns);
  const u64 away = start > voice.end ? start - voice.end : voice.end - start;
  if (started_ && away <= kSameFrames) return std::max(voice.end, first_);
  voice.phase = 0;
  voice.last = {};
  if (!started_) {
    started_ = true;
    first_ = end_ = start;
  } else if (start > end_ + kLongFrames) {
    emit(end_);
    output_.silence(start - end_);
    first_ = end_ = start;
  }
  return std::max(start, first_);
}

void AudioMixer::play(AudioVoice which, u64 start_ns, u32 rate_hz, std::span<const i16> stereo) {
  const u64 count = stereo.size() / 2;
  if (count == 0 || rate_hz < 1000 || rate_hz > 192000) return;
  Voice& voice = voices_[static_cast<unsigned>(which)];
  u64 at = place(voice, start_ns);
  const u64 step = (u64{rate_hz} << kFraction) / kRateHz;
  const auto frame = [&voice, stereo](u64 index) {
    if (index == 0) return voice.last;
    return Frame{stereo[2 * (index - 1)], stereo[2 * (index - 1) + 1]};
  };
  while (voice.phase >> kFraction < count) {
    const u64 index = voice.phase >> kFraction;
    const Frame a = frame(index);
    const Frame b = frame(index + 1);
    add(at++, {between(a[0], b[0], voice.phase), between(a[1], b[1], voice.phase)});
    voice.phase += step;
  }
  voice.phase -= count << kFraction;
  voice.last = frame(count);
  voice.end = at;
  end_ = std::max(end_, at);
  if (end_ > first_ + kLagFrames) emit(end_ - kLagFrames);
}

void AudioMixer::add(u64 at, const Frame& frame) {
  const u64 index = at - first_;
  if (index >= mixed_.size()) mixed_.resize(index + 1);
  mixed_[index][0] += frame[0];
  mixed_[index][1] += frame[1];
}

void AudioMixer::emit(u64 until) {
  if (until <= first_) return;
  out_.clear();
  for (; first_ < until; ++first_) {
    Frame frame{};
    if (!mixed_.empty()) {
      frame = mixed_.front();
      mixed_.pop_front();
    }
    for (const i32 value : frame)
      out_.push_back(static_cast<i16>(std::clamp(value, -32768, 32767)));
  }
  output_.write(out_);
}

}  // namespace emu
