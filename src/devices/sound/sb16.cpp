// SPDX-License-Identifier: Apache-2.0
#include "devices/sound/sb16.h"

#include <algorithm>
#include <cmath>

#include "base/bits.h"

namespace emu {
namespace {

constexpr u64 kPeriodNs = 5'000'000;
constexpr u32 kMostFrames = 48000;  // of one go; what is later is skipped
constexpr std::size_t kMostOutput = 64, kMostInput = 4;
constexpr u32 kLeastRate = 4000, kMostRate = 48000;

// Ports.
constexpr u64 kMixerIndex = 0x4, kMixerData = 0x5, kReset = 0x6, kReadData = 0xa, kWrite = 0xc,
              kReadStatus = 0xe, kAcknowledge16 = 0xf;
// Mixer registers.
constexpr u8 kMasterLeft = 0x30, kVoiceLeft = 0x32, kFmLeft = 0x34, kCdLeft = 0x36,
             kLineLeft = 0x38, kOutputSwitches = 0x3c, kIrqSetup = 0x80, kDmaSetup = 0x81,
             kIrqStatus = 0x82;
constexpr std::string_view kCopyright = "COPYRIGHT (C) CREATIVE TECHNOLOGY LTD, 1992.";

// How many bytes follow a command.
std::size_t parameters(u8 command) {
  if (command >= 0xb0 && command <= 0xcf) return 3;
  switch (command) {
    case 0x04:
    case 0x0f:
    case 0x10:
    case 0x40:
    case 0xe0:
    case 0xe2:
    case 0xe4:
    case 0x38:
      return 1;
    case 0x05:
    case 0x0e:
    case 0x14:
    case 0x16:
    case 0x17:
    case 0x24:
    case 0x41:
    case 0x42:
    case 0x48:
    case 0x74:
    case 0x75:
    case 0x76:
    case 0x77:
    case 0x80:
      return 2;
    default:
      return 0;
  }
}

}  // namespace

Sb16::Sb16(Clock& clock, Wires wires)
    : clock_(clock), wires_(std::move(wires)), timer_(clock.create_timer([this] { catch_up(); })) {
  reset();
}

void Sb16::reset() {
  reset_dsp();
  reset_mixer();
  mixer_[kIrqSetup] = 0x02;  // IRQ 5
  mixer_[kDmaSetup] = 0x22;  // DMA 1 and 5
  mixer_index_ = 0;
  in_reset_ = false;
  output_.clear();
  arm();
}

void Sb16::reset_dsp() {
  input_.clear();
  output_ = {0xaa};
  test_ = 0;
  last_ = 0xaa;
  speaker_ = false;
  rate_hz_ = 11025;
  old_block_ = 0;
  stream_ = {};
  pending_ = 0;
  moved_ns_ = 0;
  update_irq();
}

void Sb16::reset_mixer() {
  const u8 irq = mixer_[kIrqSetup], dma = mixer_[kDmaSetup];
  mixer_.fill(0);
  for (const u8 volume : {kMasterLeft, kVoiceLeft, kFmLeft})
    mixer_[volume] = mixer_[volume + 1u] = 0xc0;
  mixer_[kOutputSwitches] = 0x1f;
  mixer_[kIrqSetup] = irq;
  mixer_[kDmaSetup] = dma;
  wires_.opl.set_gain({gain(kFmLeft, 0), gain(kFmLeft, 1)});
}

void Sb16::transfer(StateIo& io) {
  io.section(name(), 1, [&] {
    io.field(1, "input", input_, kMostInput);
    io.field(2, "output", output_, kMostOutput);
    io.field(3, "test", test_);
    io.field(4, "last", last_);
    io.field(5, "in_reset", in_reset_);
    io.field(6, "speaker", speaker_);
    io.field(7, "rate_hz", rate_hz_);
    io.field(8, "old_block", old_block_);
    io.field(9, "runs", stream_.runs);
    io.field(10, "paused", stream_.paused);
    io.field(11, "wide", stream_.wide);
    io.field(12, "records", stream_.records);
    io.field(13, "repeats", stream_.repeats);
    io.field(14, "is_signed", stream_.is_signed);
    io.field(15, "stereo", stream_.stereo);
    io.field(16, "block", stream_.block);
    io.field(17, "left", stream_.left);
    io.field(18, "pending", pending_);
    io.field(19, "mixer_index", mixer_index_);
    io.field(20, "mixer", mixer_);
    io.field(21, "moved_ns", moved_ns_);
    io.check(rate_hz_ >= kLeastRate && rate_hz_ <= kMostRate && stream_.block <= 0x10000 &&
                 stream_.left <= stream_.block && (!stream_.runs || stream_.block != 0) &&
                 moved_ns_ <= clock_.now_ns() && pending_ < 4,
             "the SB16's state");
  });
}

void Sb16::resumed() {
  wires_.opl.set_gain({gain(kFmLeft, 0), gain(kFmLeft, 1)});
  for (IrqLine& line : wires_.irqs) line.restore(false);
  irq().restore(pending_ != 0);
  arm();
}

// --- Ports ---

u64 Sb16::read(u64 offset, unsigned size) {
  if (stream_.runs) catch_up();
  switch (offset) {
    case kMixerIndex:
      return mixer_index_;
    case kMixerData:
      return read_mixer();
    case kReadData:
      if (!output_.empty()) {
        last_ = output_.front();
        output_.erase(output_.begin());
      }
      return last_;
    case kWrite:
      return 0x7f;  // never busy
    case kReadStatus:
      pending_ &= static_cast<u8>(~1);
      update_irq();
      return output_.empty() ? 0x7f : 0xff;
    case kAcknowledge16:
      pending_ &= static_cast<u8>(~2);
      update_irq();
      return 0xff;
    case 0x8:
    case 0x9:
      return wires_.opl.read(offset - 8, size);
    default:
      return offset < 4 ? wires_.opl.read(offset, size) : 0xff;
  }
}

void Sb16::write(u64 offset, unsigned size, u64 value) {
  const u8 byte = static_cast<u8>(value);
  if (stream_.runs) catch_up();
  switch (offset) {
    case kMixerIndex:
      mixer_index_ = byte;
      return;
    case kMixerData:
      return write_mixer(byte);
    case kReset:
      if (in_reset_ && (byte & 1) == 0) reset_dsp();
      in_reset_ = (byte & 1) != 0;
      return arm();
    case kWrite:
      take(byte);
      return arm();
    case 0x8:
    case 0x9:
      return wires_.opl.write(offset - 8, size, value);
    default:
      if (offset < 4) wires_.opl.write(offset, size, value);
  }
}

IrqLine& Sb16::irq() {
  for (unsigned i = 0; i < 4; ++i) {
    if ((mixer_[kIrqSetup] >> i & 1) != 0) return wires_.irqs[i];
  }
  return wires_.irqs[1];
}

// Without a channel for 16 bits, they go over the one for 8.
unsigned Sb16::channel(bool wide) const {
  const u8 setup = mixer_[kDmaSetup];
  for (const unsigned n : {5u, 6u, 7u}) {
    if (wide && (setup >> n & 1) != 0) return n;
  }
  return (setup & 1) != 0 ? 0 : (setup & 8) != 0 ? 3 : 1;
}

void Sb16::raise(bool wide) {
  pending_ |= wide ? 2 : 1;
  update_irq();
}

void Sb16::update_irq() {
  irq().set(pending_ != 0);
}

// --- Mixer ---

u8 Sb16::read_mixer() const {
  if (mixer_index_ == kIrqStatus) return pending_ | 0x20;
  if (mixer_index_ == kIrqSetup) return mixer_[mixer_index_] | 0xf0;
  return mixer_[mixer_index_];
}

// The registers of older cards hold both sides, four bits each.
void Sb16::write_mixer(u8 value) {
  const auto both = [&](u8 left) {
    mixer_[left] = (value & 0xf0) | 8;
    mixer_[left + 1u] = static_cast<u8>(value << 4 | 8);
  };
  switch (mixer_index_) {
    case 0:
      reset_mixer();
      return;
    case 0x04:
      both(kVoiceLeft);
      break;
    case 0x22:
      both(kMasterLeft);
      break;
    case 0x26:
      both(kFmLeft);
      break;
    case 0x28:
      both(kCdLeft);
      break;
    case 0x2e:
      both(kLineLeft);
      break;
    case kIrqStatus:
      return;
    case kIrqSetup:
      irq().set(false);
      mixer_[kIrqSetup] = value & 0x0f;
      return update_irq();
    case kDmaSetup:
      mixer_[kDmaSetup] = value & 0xeb;
      return;
    default:
      break;
  }
  mixer_[mixer_index_] = value;
  wires_.opl.set_gain({gain(kFmLeft, 0), gain(kFmLeft, 1)});
}

// Five bits in steps of 2 dB, and the master's.
double Sb16::gain(u8 which, unsigned side) const {
  const int steps = 62 - (mixer_[which + side] >> 3) - (mixer_[kMasterLeft + side] >> 3);
  if (mixer_[kMasterLeft + side] < 8 || mixer_[which + side] < 8) return 0;
  return std::pow(10.0, -2.0 * steps / 20);
}

// --- The DSP's commands ---

void Sb16::take(u8 byte) {
  if (in_reset_) return;
  input_.push_back(byte);
  if (input_.size() <= parameters(input_.front())) return;
  execute();
  input_.clear();
}

void Sb16::execute() {
  const u8 command = input_[0];
  const auto word = [this] { return static_cast<u32>(input_[1] | input_[2] << 8); };
  if (command >= 0xb0 && command <= 0xcf) {
    const u32 samples = (input_[2] | u32{input_[3]} << 8) + 1;
    return start(command < 0xc0, command, input_[1], samples);
  }
  switch (command) {
    case 0x10: {  // one sample, now
      const i16 sample = static_cast<i16>((input_[1] - 128) * 256);
      const std::array<i16, 2> stereo{sample, sample};
      return wires_.sink.play(AudioVoice::kBlaster, clock_.now_ns(), 22050, stereo);
    }
    case 0x14:
      return start_old(false, false, word() + 1);
    case 0x24:
      return start_old(false, true, word() + 1);
    case 0x1c:
    case 0x90:
      return start_old(true, false, old_block_);
    case 0x91:
      return start_old(false, false, old_block_);
    case 0x2c:
    case 0x98:
      return start_old(true, true, old_block_);
    case 0x99:
      return start_old(false, true, old_block_);
    case 0x40:  // 256 - 1000000 / rate; of both sides if the mixer says stereo
      rate_hz_ = std::clamp(1'000'000 / (256u - input_[1]), kLeastRate, kMostRate);
      return;
    case 0x41:
    case 0x42:
      rate_hz_ = std::clamp(u32{input_[1]} << 8 | input_[2], kLeastRate, kMostRate);
      return;
    case 0x48:
      old_block_ = word() + 1;
      return;
    case 0x0f:  // a register of the ASP, which is not there
      output_.push_back(0);
      return;
    default:
      return command >= 0xe0 ? execute_query(command) : execute_simple(command);
  }
}

void Sb16::execute_simple(u8 command) {
  switch (command) {
    case 0x20:
      output_.push_back(0x80);
      return;
    case 0xd0:
    case 0xd5:
      stream_.paused = true;
      return;
    case 0xd4:
    case 0xd6:
      stream_.paused = false;
      moved_ns_ = clock_.now_ns();
      return;
    case 0xd1:
      speaker_ = true;
      return;
    case 0xd3:
      speaker_ = false;
      return;
    case 0xd8:
      output_.push_back(speaker_ ? 0xff : 0);
      return;
    case 0xd9:
    case 0xda:
      stream_.repeats = false;
      return;
    default:
      return;
  }
}

void Sb16::execute_query(u8 command) {
  switch (command) {
    case 0xe0:
      output_ = {static_cast<u8>(~input_[1])};
      return;
    case 0xe1:
      output_ = {4, 5};
      return;
    case 0xe3:
      output_.assign(kCopyright.begin(), kCopyright.end());
      output_.push_back(0);
      return;
    case 0xe4:
      test_ = input_[1];
      return;
    case 0xe8:
      output_ = {test_};
      return;
    case 0xf2:
      return raise(false);
    case 0xf3:
      return raise(true);
    case 0xf8:
      output_ = {0};
      return;
    default:
      return;
  }
}

void Sb16::start(bool wide, u8 command, u8 mode, u32 samples) {
  stream_ = {.runs = true,
             .wide = wide,
             .records = (command & 8) != 0,
             .repeats = (command & 4) != 0,
             .is_signed = (mode & 0x10) != 0,
             .stereo = (mode & 0x20) != 0,
             .block = samples,
             .left = samples};
  moved_ns_ = clock_.now_ns();
}

void Sb16::start_old(bool repeats, bool records, u32 samples) {
  if (samples == 0) return;
  start(false, static_cast<u8>((repeats ? 4 : 0) | (records ? 8 : 0)), 0, samples);
}

// --- Sound ---

void Sb16::arm() {
  timer_->arm(stream_.runs && !stream_.paused ? moved_ns_ + kPeriodNs : kNever);
}

void Sb16::catch_up() {
  const u64 from = moved_ns_;
  if (!stream_.runs || stream_.paused || clock_.now_ns() < from) return arm();
  moved_ns_ = clock_.now_ns();
  const Frequency rate{rate_hz_, 1};
  const u64 frames = std::min<u64>(rate.ticks_at(moved_ns_) - rate.ticks_at(from), kMostFrames);
  u32 left = static_cast<u32>(frames) * (stream_.stereo ? 2 : 1);
  const bool stereo = stream_.stereo;
  samples_.clear();
  while (left != 0 && stream_.runs) {
    const u32 now = std::min(left, stream_.left);
    if (!move(now)) break;
    left -= now;
    if (stream_.left != 0) continue;
    stream_.left = stream_.block;
    stream_.runs = stream_.repeats;
    raise(stream_.wide);
  }
  if (!samples_.empty()) {
    if (!stereo) {
      std::vector<i16> both;
      for (const i16 s : samples_) both.insert(both.end(), 2, s);
      samples_ = std::move(both);
    }
    if (samples_.size() % 2 != 0) samples_.push_back(0);
    const std::array<double, 2> volume{gain(kVoiceLeft, 0), gain(kVoiceLeft, 1)};
    for (std::size_t i = 0; i < samples_.size(); ++i)
      samples_[i] = static_cast<i16>(samples_[i] * volume[i & 1]);
    wires_.sink.play(AudioVoice::kBlaster, from, rate_hz_, samples_);
  }
  arm();
}

bool Sb16::move(u32 samples) {
  const unsigned n = channel(stream_.wide);
  if (!wires_.dma.is_ready(n)) return false;
  std::vector<u8> bytes(samples * (stream_.wide ? std::size_t{2} : 1));
  for (std::size_t done = 0; done < bytes.size();) {
    const std::span<u8> rest = std::span(bytes).subspan(done);
    if (stream_.records) std::ranges::fill(rest, u8{stream_.is_signed ? u8{0} : u8{0x80}});
    const DmaTransfer moved =
        stream_.records ? wires_.dma.to_memory(n, rest) : wires_.dma.from_memory(n, rest);
    done += moved.bytes;
    if (moved.bytes == 0 || !wires_.dma.is_ready(n)) break;
  }
  stream_.left -= samples;
  if (stream_.records) return true;
  for (std::size_t i = 0; i < samples; ++i) {
    const u16 raw = stream_.wide ? load_le<u16>(&bytes[2 * i]) : static_cast<u16>(bytes[i] << 8);
    samples_.push_back(static_cast<i16>(stream_.is_signed ? raw : raw ^ 0x8000));
  }
  return true;
}

}  // namespace emu
