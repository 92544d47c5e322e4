// SPDX-License-Identifier: Apache-2.0
#include "devices/chipset/i8254.h"

#include <algorithm>

namespace emu {
namespace {

constexpr u64 kControlPort = 3;
constexpr u8 kReadBack = 3;  // control word bits 7..6
constexpr u8 kReadBackNoCount = 0x20;
constexpr u8 kReadBackNoStatus = 0x10;

// A late host delivers missed periods one by one, so that a guest's tick count stays right, but
// gives up on what lies further back than this.
constexpr u64 kMaxBehindTicks = 1'193'182 / 4;
// A guest may program periods that no host can follow: never fire more often than this.
constexpr u64 kMinGapNs = 20'000;

}  // namespace

I8254::I8254(IrqLine out0, Clock& clock) : out0_(out0), clock_(clock) {
  timer_ = clock_.create_timer([this] { timer_fired(); });
  reset();
}

void I8254::reset() {
  for (Channel& c : channels_) c = Channel(c.counter.gate());
  for (Channel& c : channels_) c.at_ticks = now_ticks();
  out0_.set(false);
  arm();
}

u64 I8254::now_ticks() const {
  return kPitFrequency.ticks_at(clock_.now_ns());
}

// Brings a counter to the present. Rises of OUT0 that the timer has not delivered yet become one
// edge: the guest could not have seen more of them.
I8254::Channel& I8254::present(unsigned index) {
  Channel& c = channels_[index];
  if (remote_) {
    remote_->refresh();
    return c;
  }
  const u64 now = now_ticks();
  const u64 behind = now > c.at_ticks ? now - c.at_ticks : 0;
  const bool rises = index == 0 && c.counter.next_rise() <= behind;
  c.counter.advance(behind);
  c.at_ticks = now;
  if (rises) {
    out0_.pulse();
    out0_.set(c.counter.out());
  }
  return c;
}

void I8254::timer_fired() {
  Channel& c = channels_[0];
  const u64 now = now_ticks();
  const u64 rise = c.counter.next_rise();
  if (rise <= now - std::min(now, c.at_ticks)) {
    c.counter.advance(rise);
    c.at_ticks += rise;
    out0_.set(false);
    out0_.set(true);
  }
  if (now > c.at_ticks && now - c.at_ticks > kMaxBehindTicks) {
    c.counter.advance(now - c.at_ticks);
    c.at_ticks = now;
  }
  arm(clock_.now_ns() + kMinGapNs);
}

// Not before `earliest_ns`.
void I8254::arm(u64 earliest_ns) {
  if (remote_) return timer_->cancel();
  const Channel& c = channels_[0];
  const u64 rise = c.counter.next_rise();
  if (rise == kNever) return timer_->cancel();
  timer_->arm(std::max(kPitFrequency.ns_at(c.at_ticks + rise), earliest_ns));
}

void I8254::set_gate2(bool gate) {
  PitCounter& counter = present(2).counter;
  const bool changes = counter.gate() != gate;
  counter.set_gate(gate);
  if (changes && remote_) remote_->changed();
}

void I8254::set_remote(std::optional<Remote> remote) {
  remote_ = std::move(remote);
  arm();
}

bool I8254::out2() {
  return present(2).counter.out();
}

const PitCounterState& I8254::state(unsigned channel) {
  return present(channel % kChannels).counter.state();
}

void I8254::set_state(unsigned channel, const PitCounterState& state) {
  Channel& c = channels_[channel % kChannels];
  c.counter.set_state(state);
  c.at_ticks = now_ticks();
}

u64 I8254::read(u64 offset, unsigned) {
  if (offset >= kControlPort) return 0;
  const u8 value = present(static_cast<unsigned>(offset)).counter.read();
  if (offset == 0) arm();
  return value;
}

void I8254::write(u64 offset, unsigned, u64 value) {
  const u8 byte = static_cast<u8>(value);
  if (offset >= kControlPort) return write_control(byte);
  PitCounter& counter = present(static_cast<unsigned>(offset)).counter;
  counter.write(byte);
  if (offset != 0) return;
  out0_.set(counter.out());
  arm();
}

void I8254::write_control(u8 word) {
  const u8 select = word >> 6;
  if (select == kReadBack) return read_back(word);
  PitCounter& counter = present(select).counter;
  counter.write_control(word);
  if (select != 0) return;
  out0_.set(counter.out());
  arm();
}

void I8254::read_back(u8 word) {
  for (unsigned i = 0; i < kChannels; ++i) {
    if ((word >> (i + 1) & 1) == 0) continue;
    PitCounter& counter = present(i).counter;
    if ((word & kReadBackNoCount) == 0) counter.latch_count();
    if ((word & kReadBackNoStatus) == 0) counter.latch_status();
  }
  arm();
}

void I8254::transfer(StateIo& io) {
  static constexpr std::array<std::string_view, kChannels> kNames{"counter0", "counter1",
                                                                  "counter2"};
  io.section(name(), 1, [&] {
    for (unsigned i = 0; i < kChannels; ++i) {
      channels_[i].counter.transfer(io, kNames[i]);
      io.field(static_cast<u16>(1 + i), "at_ticks", channels_[i].at_ticks);
    }
  });
}

void I8254::resumed() {
  // A snapshot from nowhere may claim moments that have not come yet.
  for (Channel& c : channels_) c.at_ticks = std::min(c.at_ticks, now_ticks());
  out0_.restore(channels_[0].counter.out());
  arm();
}

}  // namespace emu
