// SPDX-License-Identifier: Apache-2.0
// The streams: their registers, and the DMA engine behind each.
// Source: Intel High Definition Audio Specification 1.0a, 3.3.35 on, 3.6 and 4.5.
#include <algorithm>

#include "base/bits.h"
#include "devices/sound/intel_hda.h"
#include "devices/sound/intel_hda_spec.h"

namespace emu {

using namespace hda;

namespace {

constexpr u64 kPeriodNs = 5'000'000;
constexpr u64 kMostFrames = 48000;  // of one go; what is later is skipped
constexpr u32 kBufferBytes = 65536, kLeastBytes = 16;

// SDnFMT (3.7.1).
u32 rate_hz(u16 format) {
  const u32 base = (format & 1 << 14) != 0 ? 44100 : 48000;
  const u32 times = (format >> 11 & 7) + 1u;
  return base * std::min(times, 4u) / ((format >> 8 & 7) + 1u);
}
u32 sample_bytes(u16 format) {
  const u32 kind = format >> 4 & 7;
  return kind == 0 ? 1 : kind == 1 ? 2 : 4;
}
u32 channels(u16 format) {
  return (format & 15u) + 1;
}
u32 frame_bytes(u16 format) {
  return sample_bytes(format) * channels(format);
}

template <class T>
void assign(T& field, u32 value, u32 mask, unsigned shift = 0) {
  const u64 bits = u64{mask >> shift};
  field = static_cast<T>((u64{field} & ~bits) | (u64{value >> shift} & bits));
}

}  // namespace

u32 IntelHda::stream_word(unsigned index, u32 offset) const {
  const Stream& s = streams_[index];
  switch (offset) {
    case kStreamControl:
      return s.control | u32{s.status} << 24 | (runs(s) ? u32{kFifoReady} << 24 : 0);
    case kStreamPosition:
      return s.position;
    case kStreamCyclic:
      return s.cyclic_bytes;
    case kStreamLast:
      return s.last;
    case kStreamFormat:
      return kFifoBytes | u32{s.format} << 16;
    case kStreamList:
      return static_cast<u32>(s.list);
    case kStreamListUpper:
      return static_cast<u32>(s.list >> 32);
    default:
      return 0;
  }
}

void IntelHda::write_stream(unsigned index, u32 offset, u32 value, u32 mask) {
  Stream& s = streams_[index];
  switch (offset) {
    case kStreamControl: {
      s.status = static_cast<u8>(s.status & ~(value >> 24));
      const bool ran = runs(s);
      assign(s.control, value, mask & 0x00F0001F);
      if ((s.control & kStreamReset) != 0) {
        s = {};
        s.control = kStreamReset;
      } else if (!ran && runs(s)) {
        moved_ns_ = clock_.now_ns();
      }
      return;
    }
    case kStreamCyclic:
      return assign(s.cyclic_bytes, value, mask);
    case kStreamLast:
      return assign(s.last, value, mask & kMaxEntry);
    case kStreamFormat:
      return assign(s.format, value, mask & 0x7FFF0000, 16);
    case kStreamList:
      s.list = (s.list & ~u64{mask}) | (value & ~127u);
      return;
    case kStreamListUpper:
      s.list = (s.list & ~(u64{mask} << 32)) | u64{value} << 32;
      return;
    default:
      return;
  }
}

bool IntelHda::runs(const Stream& stream) {
  return (stream.control & (kStreamRuns | kStreamReset)) == kStreamRuns;
}

IntelHda::Entry IntelHda::entry_of(const Stream& stream) {
  std::array<u8, 16> raw{};
  dma_read(stream.list + stream.entry * u64{16}, raw);
  return {load_le<u64>(&raw[0]), load_le<u32>(&raw[8]), (raw[12] & 1) != 0};
}

void IntelHda::arm() {
  const bool any = std::any_of(streams_.begin(), streams_.end(), runs);
  timer_->arm(any ? moved_ns_ + kPeriodNs : kNever);
}

void IntelHda::catch_up() {
  const u64 from = moved_ns_;
  moved_ns_ = std::max(clock_.now_ns(), from);
  for (unsigned i = 0; i < kStreams; ++i) {
    Stream& s = streams_[i];
    if (!runs(s)) continue;
    const Frequency rate{rate_hz(s.format), 1};
    const u64 frames = std::min(rate.ticks_at(moved_ns_) - rate.ticks_at(from), kMostFrames);
    samples_.clear();
    u32 left = static_cast<u32>(frames) * frame_bytes(s.format);
    while (left != 0) left -= std::min(left, move(i, left));
    write_position(i);
    if (samples_.empty()) continue;
    sink_.play(AudioVoice::kCodec, from, rate_hz(s.format), samples_);
  }
  arm();
  update_irq();
}

// An empty entry takes some time, so that a ring of them ends.
u32 IntelHda::move(unsigned index, u32 bytes) {
  Stream& s = streams_[index];
  const Entry entry = entry_of(s);
  const u32 here = entry.length_bytes - std::min(entry.length_bytes, s.done_bytes);
  const u32 count = std::min({bytes, here, kBufferBytes});
  std::vector<u8> buffer(count);
  if (index == kOut) {
    dma_read(entry.address + s.done_bytes, buffer);
    take_samples(s, buffer);
  } else {
    dma_write(entry.address + s.done_bytes, buffer);
  }
  s.done_bytes += count;
  s.position += count;
  if (s.cyclic_bytes != 0 && s.position >= s.cyclic_bytes) s.position %= s.cyclic_bytes;
  if (s.done_bytes >= entry.length_bytes) {
    s.done_bytes = 0;
    s.entry = s.entry >= s.last ? u16{0} : static_cast<u16>(s.entry + 1);
    if (entry.interrupts) s.status |= kBufferDone;
  }
  return std::max(count, kLeastBytes);
}

// Plays the first two channels, through the codec's volume.
void IntelHda::take_samples(const Stream& stream, std::span<const u8> bytes) {
  const u8 tag = stream.control >> 20 & 15;
  const bool is_heard =
      tag != 0 && codec_.output_stream() == tag && sample_bytes(stream.format) == 2;
  const u32 frame = frame_bytes(stream.format);
  const bool is_mono = channels(stream.format) == 1;
  const std::array<double, 2> gain{codec_.output_gain(0), codec_.output_gain(1)};
  for (std::size_t at = 0; at + frame <= bytes.size(); at += frame) {
    for (unsigned side = 0; side < 2; ++side) {
      const std::size_t place = at + (is_mono ? 0 : side * std::size_t{2});
      const i16 sample = is_heard ? static_cast<i16>(load_le<u16>(&bytes[place])) : i16{0};
      samples_.push_back(static_cast<i16>(sample * gain[side]));
    }
  }
}

// Where the driver looks how far it is, if it asked for that (3.3.33).
void IntelHda::write_position(unsigned index) {
  if ((positions_base_ & 1) == 0) return;
  std::array<u8, 4> raw{};
  store_le(raw.data(), streams_[index].position);
  dma_write((positions_base_ & ~u64{127}) + index * u64{8}, raw);
}

}  // namespace emu
