// SPDX-License-Identifier: Apache-2.0
#include "devices/sound/pc_speaker.h"

#include <algorithm>

namespace emu {
namespace {

constexpr i16 kLoudness = 6000;
constexpr unsigned kChannel = 2;
constexpr u32 kLeastDivisor = 60;  // higher tones are above what one hears: silence

}  // namespace

PcSpeaker::PcSpeaker(I8254& pit, Clock& clock, AudioSink& sink)
    : pit_(pit), clock_(clock), sink_(sink), timer_(clock.create_timer([this] {
        play();
        arm();
      })) {}

void PcSpeaker::set_on(bool on) {
  if (on == on_) return;
  play();
  on_ = on;
  played_ns_ = clock_.now_ns();
  phase_ = 0;
  arm();
}

void PcSpeaker::arm() {
  timer_->arm(on_ ? played_ns_ + kBlockNs : kNever);
}

// The square wave from played_ns_ to now.
void PcSpeaker::play() {
  if (!on_) return;
  const Frequency rate{kRateHz, 1};
  const u64 now = clock_.now_ns();
  const u64 first = rate.ticks_at(played_ns_);
  const u64 count = std::min<u64>(rate.ticks_at(now) - first, kRateHz);
  if (count == 0) return;
  const PitCounterState& counter = pit_.state(kChannel);
  const u32 divisor = counter.count_register == 0 ? 0x10000 : counter.count_register;
  const bool sounds = (counter.mode & 3) == 3 && !counter.bcd && divisor >= kLeastDivisor;
  // 1193181.67 Hz / divisor, as a step of the phase for each sample.
  const u64 step = (u64{3'579'545} << 32) / (u64{3} * divisor * kRateHz);
  samples_.clear();
  for (u64 i = 0; i < count; ++i) {
    const i16 value = !sounds ? i16{0} : (phase_ >> 31) != 0 ? i16{-kLoudness} : kLoudness;
    samples_.insert(samples_.end(), 2, value);
    phase_ += static_cast<u32>(step);
  }
  sink_.play(AudioVoice::kSpeaker, played_ns_, kRateHz, samples_);
  played_ns_ = now;
}

void PcSpeaker::transfer(StateIo& io) {
  io.section(name(), 1, [&] {
    io.field(1, "on", on_);
    io.field(2, "played_ns", played_ns_);
    io.field(3, "phase", phase_);
    io.check(played_ns_ <= clock_.now_ns(), "the speaker's time");
  });
}

void PcSpeaker::resumed() {
  arm();
}

}  // namespace emu
