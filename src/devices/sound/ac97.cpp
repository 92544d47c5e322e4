// SPDX-License-Identifier: Apache-2.0
#include "devices/sound/ac97.h"

#include <algorithm>
#include <cmath>

namespace emu {
namespace {

constexpr u64 kPeriodNs = 5'000'000;
constexpr u64 kMostFrames = 48000;  // of one go; what is later is skipped

// Codec registers (AC'97 5.7), as indexes of words.
constexpr unsigned kReset = 0x00 / 2, kMaster = 0x02 / 2, kPcmOut = 0x18 / 2, kPower = 0x26 / 2,
                   kExtendedId = 0x28 / 2, kExtended = 0x2a / 2, kFrontRate = 0x2c / 2,
                   kInRate = 0x32 / 2, kVendor1 = 0x7c / 2, kVendor2 = 0x7e / 2;
constexpr u16 kMuted = 1 << 15, kVariableRate = 1 << 0, kReady = 0x000f;
constexpr u16 kDefaultRate = 48000;

// Channel registers (ICH 13.2) and bits.
constexpr u64 kChannelBytes = 0x10, kBase = 0x0, kCurrent = 0x4, kLast = 0x5, kStatus = 0x6,
              kLeft = 0x8, kPrefetched = 0xa, kControl = 0xb;
constexpr u64 kGlobalControl = 0x2c, kGlobalStatus = 0x30, kSemaphore = 0x34;
constexpr u16 kHalted = 1 << 0, kAtLast = 1 << 1, kLastDone = 1 << 2, kBufferDone = 1 << 3,
              kStatusClears = 0x1c;
constexpr u8 kRun = 1 << 0, kResetChannel = 1 << 1, kOnLast = 1 << 2, kOnBuffer = 1 << 4;
constexpr u16 kInterruptWanted = 1 << 15;
constexpr u32 kCodecReady = 1 << 8;
constexpr std::array<u32, 3> kStatusBits{1 << 5, 1 << 6, 1 << 7};
constexpr u32 kColdReset = 1 << 1;
constexpr u64 kNoRegister = ~u64{0};

constexpr PciIdentity kIdentity{
    .vendor = 0x8086,
    .device = 0x2415,
    .revision = 1,
    .class_code = 0x040100,
    .subsystem_vendor = 0x8086,
    .subsystem = 0,
    .interrupt_pin = 1,
    .status = pci::kStatusFastBackToBack | pci::kStatusDevselMedium,
};

// Steps of 1.5 dB down (5.7.2).
double gain(u16 volume, unsigned shift, unsigned zero_db) {
  if ((volume & kMuted) != 0) return 0;
  const int steps = static_cast<int>(volume >> shift & 0x1f) - static_cast<int>(zero_db);
  return std::pow(10.0, -1.5 * steps / 20);
}

}  // namespace

Ac97::Ac97(PciBus& bus, u8 devfn, Clock& clock, AudioSink& sink)
    : PciDevice(bus, devfn, "ac97", kIdentity),
      clock_(clock),
      sink_(sink),
      mixer_window_(Region::mmio("ac97.mixer", kMixerBytes, mixer_, AccessSizes{2, 2, false})),
      bus_master_window_(
          Region::mmio("ac97.bus-master", kBusMasterBytes, bus_master_, AccessSizes{1, 4, false})),
      timer_(clock.create_timer([this] { catch_up(); })) {
  add_bar(0, BarKind::kIo, *mixer_window_);
  add_bar(1, BarKind::kIo, *bus_master_window_);
  reset_mixer();
}

void Ac97::reset() {
  reset_config();
  reset_mixer();
  channels_ = {};
  for (Channel& channel : channels_) channel.status = kHalted;
  global_control_ = 0;
  semaphore_ = 0;
  moved_ns_ = 0;
  arm();
  update_irq();
}

void Ac97::reset_mixer() {
  codec_.fill(0);
  codec_[kMaster] = 0x8000;
  codec_[0x04 / 2] = 0x8000;  // headphones
  codec_[0x06 / 2] = 0x8000;  // mono
  codec_[kPcmOut] = 0x8808;
  codec_[kPower] = kReady;
  codec_[kExtendedId] = codec_[kExtended] = 0;
  codec_[kExtendedId] = kVariableRate;
  codec_[kFrontRate] = codec_[kInRate] = kDefaultRate;
  codec_[kVendor1] = 0x8384;  // SigmaTel STAC9700
  codec_[kVendor2] = 0x7600;
}

void Ac97::transfer(StateIo& io) {
  io.section(name(), 1, [&] {
    transfer_config(io);
    io.field(1, "codec", codec_);
    io.field(2, "GLOB_CNT", global_control_);
    io.field(3, "CAS", semaphore_);
    io.field(4, "moved_ns", moved_ns_);
    for (unsigned i = 0; i < kChannels; ++i) {
      Channel& c = channels_[i];
      const u16 tag = static_cast<u16>(16 * (i + 1));
      io.field(tag, "BDBAR", c.base);
      io.field(static_cast<u16>(tag + 1), "CIV", c.current);
      io.field(static_cast<u16>(tag + 2), "LVI", c.last);
      io.field(static_cast<u16>(tag + 3), "PIV", c.prefetched);
      io.field(static_cast<u16>(tag + 4), "SR", c.status);
      io.field(static_cast<u16>(tag + 5), "CR", c.control);
      io.field(static_cast<u16>(tag + 6), "PICB", c.left);
      io.field(static_cast<u16>(tag + 7), "address", c.address);
      io.field(static_cast<u16>(tag + 8), "flags", c.flags);
      io.check(c.current < 32 && c.last < 32 && c.prefetched < 32, "an AC'97 buffer's number");
    }
    io.check(moved_ns_ < kNever / 2, "the AC'97's time");
  });
}

void Ac97::resumed() {
  resume_config();
  arm();
}

// --- The codec ---

u64 Ac97::read_mixer(u64 offset, unsigned) {
  semaphore_ = 0;
  return offset / 2 < codec_.size() ? codec_[offset / 2] : 0;
}

void Ac97::write_mixer(u64 offset, unsigned, u64 value) {
  semaphore_ = 0;
  const u64 index = offset / 2;
  const u16 word = static_cast<u16>(value);
  if (index >= codec_.size()) return;
  catch_up();
  switch (index) {
    case kReset:
      return reset_mixer();
    case kPower:
      codec_[kPower] = static_cast<u16>((word & ~kReady) | kReady);
      return;
    case kExtended:
      codec_[kExtended] = word & kVariableRate;
      if (codec_[kExtended] == 0) codec_[kFrontRate] = codec_[kInRate] = kDefaultRate;
      return;
    case kFrontRate:
    case kInRate:
      if (codec_[kExtended] != 0) codec_[index] = std::clamp<u16>(word, 4000, 48000);
      return;
    case kExtendedId:
    case kVendor1:
    case kVendor2:
      return;
    default:
      codec_[index] = word;
  }
}

u32 Ac97::rate_hz(unsigned index) const {
  if (index == kOut) return codec_[kFrontRate];
  return index == kIn ? codec_[kInRate] : kDefaultRate;
}

// --- Bus masters ---

u64 Ac97::read_registers(u64 offset, unsigned size) {
  catch_up();
  const u64 mask = byte_mask(size);
  switch (offset) {
    case kGlobalControl:
      return global_control_ & mask;
    case kGlobalStatus: {
      u32 status = kCodecReady;
      for (unsigned i = 0; i < kChannels; ++i) {
        if ((channels_[i].status & kStatusClears) != 0) status |= kStatusBits[i];
      }
      return status & mask;
    }
    case kSemaphore: {
      const u8 was = semaphore_;
      semaphore_ = 1;
      return was;
    }
    default:
      break;
  }
  if (offset >= kChannels * kChannelBytes) return kNoRegister & mask;
  const unsigned index = static_cast<unsigned>(offset / kChannelBytes);
  u64 value = 0;
  for (unsigned i = 0; i < size; ++i) {
    value |= u64{channel_register(index, offset % kChannelBytes + i)} << (8 * i);
  }
  return value;
}

// One byte of a channel's registers.
u32 Ac97::channel_register(unsigned index, u64 offset) const {
  const Channel& c = channels_[index];
  if (offset < kCurrent) return c.base >> (8 * offset) & 0xff;
  switch (offset) {
    case kCurrent:
      return c.current;
    case kLast:
      return c.last;
    case kStatus:
      return c.status & 0xff;
    case kLeft:
      return c.left & 0xff;
    case kLeft + 1:
      return c.left >> 8;
    case kPrefetched:
      return c.prefetched;
    case kControl:
      return c.control;
    default:
      return 0;
  }
}

void Ac97::write_registers(u64 offset, unsigned size, u64 value) {
  catch_up();
  if (offset == kGlobalControl) {
    global_control_ = static_cast<u32>(value) & 0x3f;
    if ((global_control_ & kColdReset) == 0) reset_mixer();
    return;
  }
  if (offset >= kChannels * kChannelBytes) return;
  const unsigned index = static_cast<unsigned>(offset / kChannelBytes);
  const u64 first = offset % kChannelBytes;
  if (first == kBase && size == 4) {
    channels_[index].base = static_cast<u32>(value) & ~7u;
    return;
  }
  for (unsigned i = 0; i < size; ++i) {
    write_channel(index, first + i, static_cast<u32>(value >> (8 * i) & 0xff));
  }
  arm();
  update_irq();
}

void Ac97::write_channel(unsigned index, u64 offset, u32 value) {
  Channel& c = channels_[index];
  switch (offset) {
    case kLast:
      return write_last(c, static_cast<u8>(value));
    case kStatus:
      c.status &= static_cast<u16>(~(value & kStatusClears));
      return;
    case kControl:
      return write_control(index, static_cast<u8>(value));
    default:
      return;
  }
}

void Ac97::write_last(Channel& c, u8 value) {
  const bool waits = (c.control & kRun) != 0 && (c.status & kHalted) != 0;
  if (waits) {
    c.status &= static_cast<u16>(~(kHalted | kAtLast));
    next_descriptor(c);
  }
  c.last = value & 31;
}

void Ac97::write_control(unsigned index, u8 value) {
  Channel& c = channels_[index];
  if ((value & kResetChannel) != 0) {
    const u8 kept = c.control & (kOnLast | kOnBuffer | 1 << 3);
    c = {};
    c.status = kHalted;
    c.control = kept;
    return;
  }
  const bool starts = (value & kRun) != 0 && (c.control & kRun) == 0;
  c.control = value & 0x1d;
  if ((value & kRun) == 0) {
    c.status |= kHalted;
  } else if (starts) {
    moved_ns_ = clock_.now_ns();
    c.status &= static_cast<u16>(~kHalted);
    if (c.left == 0) next_descriptor(c);
  }
}

bool Ac97::runs(const Channel& c) const {
  return (c.control & kRun) != 0 && (c.status & kHalted) == 0;
}

void Ac97::fetch(Channel& c) {
  std::array<u8, 8> bytes{};
  dma_read(c.base + u32{c.current} * 8, bytes);
  c.address =
      (u32{bytes[0]} | u32{bytes[1]} << 8 | u32{bytes[2]} << 16 | u32{bytes[3]} << 24) & ~1u;
  c.left = static_cast<u16>(bytes[4] | bytes[5] << 8);
  c.flags = static_cast<u16>(bytes[6] | bytes[7] << 8);
}

void Ac97::next_descriptor(Channel& c) {
  c.current = c.prefetched;
  c.prefetched = (c.prefetched + 1) & 31;
  fetch(c);
}

// --- Samples ---

void Ac97::arm() {
  const bool any =
      std::any_of(channels_.begin(), channels_.end(), [this](const Channel& c) { return runs(c); });
  timer_->arm(any ? moved_ns_ + kPeriodNs : kNever);
}

void Ac97::catch_up() {
  const u64 now = clock_.now_ns();
  const u64 from = moved_ns_;
  moved_ns_ = std::max(now, from);
  for (unsigned i = 0; i < kChannels; ++i) {
    if (!runs(channels_[i])) continue;
    const Frequency rate{rate_hz(i), 1};
    u64 frames = std::min(rate.ticks_at(moved_ns_) - rate.ticks_at(from), kMostFrames);
    samples_.clear();
    while (frames != 0 && runs(channels_[i])) frames -= move(i, frames);
    if (i == kOut && !samples_.empty()) play(samples_);
    if (i == kOut && !samples_.empty()) sink_.play(AudioVoice::kCodec, from, rate_hz(i), samples_);
  }
  arm();
  update_irq();
}

// Stereo samples are two of the descriptor's; the buffer's end may come in between.
u64 Ac97::move(unsigned index, u64 frames) {
  Channel& c = channels_[index];
  const u64 count = std::min<u64>(frames, c.left / 2);
  const std::size_t bytes = count * 4;
  std::vector<u8> buffer(bytes);
  if (index == kOut) {
    dma_read(c.address, buffer);
    for (std::size_t i = 0; i + 1 < bytes; i += 2) {
      samples_.push_back(static_cast<i16>(buffer[i] | buffer[i + 1] << 8));
    }
  } else {
    dma_write(c.address, buffer);
  }
  c.address += static_cast<u32>(bytes);
  c.left = static_cast<u16>(c.left - 2 * count);
  if (c.left >= 2) return count;
  c.left = 0;
  if ((c.flags & kInterruptWanted) != 0) c.status |= kBufferDone;
  if (c.current == c.last) {
    c.status |= kLastDone | kHalted | kAtLast;
  } else {
    next_descriptor(c);
  }
  // An empty buffer takes a sample's time, so that a ring of them ends.
  return std::max<u64>(count, 1);
}

// Applies the volumes of the codec: master, and PCM whose 0 dB is step 8.
void Ac97::play(std::span<i16> stereo) {
  for (unsigned side = 0; side < 2; ++side) {
    const unsigned shift = side == 0 ? 8 : 0;
    const double factor = gain(codec_[kMaster], shift, 0) * gain(codec_[kPcmOut], shift, 8);
    for (std::size_t i = side; i < stereo.size(); i += 2) {
      stereo[i] = static_cast<i16>(std::clamp(stereo[i] * factor, -32768.0, 32767.0));
    }
  }
}

void Ac97::update_irq() {
  bool active = false;
  for (const Channel& c : channels_) {
    active |= (c.status & kLastDone) != 0 && (c.control & kOnLast) != 0;
    active |= (c.status & kBufferDone) != 0 && (c.control & kOnBuffer) != 0;
  }
  set_intx(active);
}

}  // namespace emu
