// SPDX-License-Identifier: Apache-2.0
#include "devices/sound/opl3.h"

#include <adplug/nemuopl.h>

#include <algorithm>

namespace emu {
namespace {

constexpr u32 kRateHz = 49716;  // 14.31818 MHz / 288
constexpr u64 kPeriodNs = 5'000'000;
constexpr u64 kTailNs = 2'000'000'000;  // how long a released note may sound
constexpr u64 kMostFrames = kRateHz;    // of one go; what is later is skipped
constexpr u16 kTimerValues = 2, kTimerControl = 4, kFirstKey = 0xb0, kLastKey = 0xb8;
constexpr u8 kIrqReset = 0x80, kKeyOn = 0x20;
constexpr std::array<u8, 2> kMaskBits{0x40, 0x20}, kStartBits{0x01, 0x02}, kFlags{0x40, 0x20};
constexpr std::array<u64, 2> kTickNs{80'000, 320'000};

}  // namespace

// The library's chip, at its own rate.
class Opl3::Chip {
 public:
  Chip() { opl_.init(); }
  void write(u16 address, u8 value) {
    opl_.setchip(address >> 8);
    opl_.write(address & 0xff, value);
  }
  void reset() { opl_.init(); }
  void generate(std::span<i16> stereo) {
    opl_.update(stereo.data(), static_cast<int>(stereo.size() / 2));
  }

 private:
  CNemuopl opl_{static_cast<int>(kRateHz)};
};

Opl3::Opl3(Clock& clock, AudioSink& sink)
    : clock_(clock),
      sink_(sink),
      chip_(std::make_unique<Chip>()),
      timer_(clock.create_timer([this] {
        catch_up();
        arm();
      })) {}

Opl3::~Opl3() = default;

void Opl3::reset() {
  chip_->reset();
  registers_.fill(0);
  address_ = 0;
  played_ns_ = sounds_until_ns_ = 0;
  timer_runs_ = expired_ = {};
  timer_start_ns_ = {};
  arm();
}

void Opl3::transfer(StateIo& io) {
  io.section(name(), 1, [&] {
    io.field(1, "registers", registers_);
    io.field(2, "address", address_);
    io.field(3, "played_ns", played_ns_);
    io.field(4, "sounds_until_ns", sounds_until_ns_);
    for (unsigned i = 0; i < 2; ++i) {
      io.field(static_cast<u16>(5 + 3 * i), "timer_runs", timer_runs_[i]);
      io.field(static_cast<u16>(6 + 3 * i), "timer_start_ns", timer_start_ns_[i]);
      io.field(static_cast<u16>(7 + 3 * i), "expired", expired_[i]);
    }
    io.check(address_ < registers_.size() && played_ns_ <= clock_.now_ns() &&
                 sounds_until_ns_ <= clock_.now_ns() + kTailNs &&
                 timer_start_ns_[0] <= clock_.now_ns() && timer_start_ns_[1] <= clock_.now_ns(),
             "the OPL3's state");
  });
}

// Notes that sounded begin again.
void Opl3::resumed() {
  chip_->reset();
  for (u16 first : {u16{0x105}, u16{0}}) {
    for (u16 i = first; i < registers_.size(); ++i) {
      if (registers_[i] != 0) chip_->write(i, registers_[i]);
      if (first != 0) break;  // the OPL3's mode goes before the rest
    }
  }
  arm();
}

bool Opl3::expired(unsigned timer) const {
  const u64 wanted = (256 - u64{registers_[kTimerValues + timer]}) * kTickNs[timer];
  return expired_[timer] ||
         (timer_runs_[timer] && clock_.now_ns() - timer_start_ns_[timer] >= wanted);
}

u8 Opl3::status() const {
  u8 flags = 0;
  for (unsigned i = 0; i < 2; ++i) {
    if (expired(i) && (registers_[kTimerControl] & kMaskBits[i]) == 0) flags |= kFlags[i];
  }
  return flags != 0 ? flags | 0x80 : 0;
}

u64 Opl3::read(u64 offset, unsigned) {
  return offset == 0 ? status() : 0xff;
}

void Opl3::write(u64 offset, unsigned, u64 value) {
  const u8 byte = static_cast<u8>(value);
  if ((offset & 1) == 0) {
    // Only register 105h of the second set is there before it switches the OPL3 on.
    const bool second = offset == 2 && ((registers_[0x105] & 1) != 0 || byte == 5);
    address_ = static_cast<u16>(byte | (second ? 0x100 : 0));
  } else {
    write_register(address_, byte);
  }
}

void Opl3::write_register(u16 address, u8 value) {
  if (address == kTimerControl) return control_timers(value);
  catch_up();
  registers_[address] = value;
  chip_->write(address, value);
  if (any_key()) sounds_until_ns_ = clock_.now_ns() + kTailNs;
  arm();
}

void Opl3::control_timers(u8 value) {
  if ((value & kIrqReset) != 0) {
    expired_ = {};
    for (unsigned i = 0; i < 2; ++i) timer_start_ns_[i] = clock_.now_ns();
    return;
  }
  for (unsigned i = 0; i < 2; ++i) {
    expired_[i] = expired(i);
    const bool runs = (value & kStartBits[i]) != 0;
    if (runs && !timer_runs_[i]) timer_start_ns_[i] = clock_.now_ns();
    timer_runs_[i] = runs;
  }
  registers_[kTimerControl] = value;
}

bool Opl3::any_key() const {
  for (u16 bank = 0; bank < 0x200; bank += 0x100) {
    for (u16 key = kFirstKey; key <= kLastKey; ++key) {
      if ((registers_[bank + key] & kKeyOn) != 0) return true;
    }
  }
  return (registers_[0xbd] & 0x3f) > 0x20;  // percussion
}

void Opl3::catch_up() {
  const Frequency rate{kRateHz, 1};
  const u64 from = played_ns_, now = clock_.now_ns();
  played_ns_ = now;
  if (any_key()) sounds_until_ns_ = now + kTailNs;
  if (from >= sounds_until_ns_) return;
  const u64 frames = std::min(rate.ticks_at(now) - rate.ticks_at(from), kMostFrames);
  if (frames == 0) return;
  samples_.resize(frames * 2);
  chip_->generate(samples_);
  for (std::size_t i = 0; i < samples_.size(); ++i)
    samples_[i] = static_cast<i16>(samples_[i] * gain_[i & 1]);
  sink_.play(AudioVoice::kSynth, from, kRateHz, samples_);
}

void Opl3::arm() {
  timer_->arm(clock_.now_ns() < sounds_until_ns_ ? played_ns_ + kPeriodNs : kNever);
}

}  // namespace emu
