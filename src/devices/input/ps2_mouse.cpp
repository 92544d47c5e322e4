// SPDX-License-Identifier: Apache-2.0
#include "devices/input/ps2_mouse.h"

#include <algorithm>

namespace emu {
namespace {

enum Command : u8 {
  kScaling1To1 = 0xe6,
  kScaling2To1 = 0xe7,
  kSetResolution = 0xe8,
  kStatus = 0xe9,
  kStreamMode = 0xea,
  kReadData = 0xeb,
  kResetWrap = 0xec,
  kWrapMode = 0xee,
  kRemoteMode = 0xf0,
  kIdentify = 0xf2,
  kSetRate = 0xf3,
  kEnable = 0xf4,
  kDisable = 0xf5,
  kSetDefaults = 0xf6,
  kResendLast = 0xfe,
  kReset = 0xff,
};

constexpr i32 kMaxCount = 255;        // nine bits with sign
constexpr i32 kMaxPending = 1 << 20;  // what a guest that never reads can pile up
constexpr u8 kAlwaysSet = 0x08;
constexpr u8 kXSign = 0x10;
constexpr u8 kYSign = 0x20;

// 2:1 scaling of one packet's count (IBM, "Set Scaling 2:1").
i32 scale(i32 count) {
  static constexpr std::array<i32, 6> kSmall{0, 1, 1, 3, 6, 9};
  const i32 size = std::abs(count);
  const i32 scaled = size < 6 ? kSmall[static_cast<std::size_t>(size)] : 2 * size;
  return std::clamp(count < 0 ? -scaled : scaled, -kMaxCount, kMaxCount);
}

i32 add_pending(i32 sum, i32 more) {
  return static_cast<i32>(std::clamp<i64>(i64{sum} + more, -kMaxPending, kMaxPending));
}

// Takes as much of `pending` as lies in [-limit, limit].
i32 take_some(i32& pending, i32 low, i32 high) {
  const i32 part = std::clamp(pending, low, high);
  pending -= part;
  return part;
}

}  // namespace

void Ps2Mouse::reset() {
  discard_all();
  protocol_ = Protocol::kStandard;
  wrap_ = false;
  pending_command_ = 0;
  previous_rates_.fill(0);
  buttons_ = 0;
  set_defaults();
}

void Ps2Mouse::set_defaults() {
  mode_ = Mode::kStream;
  enabled_ = false;
  scaling_2_to_1_ = false;
  resolution_ = 2;
  rate_ = 100;
  dx_ = dy_ = wheel_ = 0;
  unsent_ = false;
}

// --- Commands ---

void Ps2Mouse::write(u8 byte) {
  if (wrap_ && byte != kReset && byte != kResetWrap) return reply({byte});
  if (pending_command_ != 0) return argument(byte);
  // Whatever waits to be sent is given up for the answer.
  if (byte != kResendLast) discard_events();
  command(byte);
}

void Ps2Mouse::command(u8 byte) {
  switch (static_cast<Command>(byte)) {
    case kScaling1To1:
    case kScaling2To1:
      scaling_2_to_1_ = byte == kScaling2To1;
      return reply({kAcknowledge});
    case kSetResolution:
    case kSetRate:
      pending_command_ = byte;
      return reply({kAcknowledge});
    case kStatus:
      return report_status();
    case kStreamMode:
    case kRemoteMode:
      mode_ = byte == kStreamMode ? Mode::kStream : Mode::kRemote;
      return reply({kAcknowledge});
    case kReadData: {
      const std::array<u8, 4> packet = take_packet(false);
      reply({kAcknowledge, packet[0], packet[1], packet[2]});
      if (packet_bytes() == 4) reply({packet[3]});
      return;
    }
    case kResetWrap:
    case kWrapMode:
      wrap_ = byte == kWrapMode;
      return reply({kAcknowledge});
    case kIdentify:
      return reply({kAcknowledge, static_cast<u8>(protocol_)});
    case kEnable:
    case kDisable:
      enabled_ = byte == kEnable;
      return reply({kAcknowledge});
    case kSetDefaults:
      set_defaults();
      return reply({kAcknowledge});
    case kResendLast:
      return resend();
    case kReset:
      reset();
      return reply({kAcknowledge, kSelfTestPassed, static_cast<u8>(protocol_)});
  }
  reply({kResend});
}

void Ps2Mouse::argument(u8 byte) {
  const u8 of = pending_command_;
  pending_command_ = 0;
  if (of == kSetRate) {
    set_rate(byte);
  } else {
    resolution_ = byte & 3;
  }
  reply({kAcknowledge});
}

// 200, 100, 80 asks for a wheel; 200, 200, 80 for five buttons.
void Ps2Mouse::set_rate(u8 rate) {
  if (rate == 80 && previous_rates_[0] == 200) {
    if (previous_rates_[1] == 100) protocol_ = Protocol::kWheel;
    if (previous_rates_[1] == 200) protocol_ = Protocol::kExplorer;
  }
  previous_rates_ = {previous_rates_[1], rate};
  rate_ = rate;
}

void Ps2Mouse::report_status() {
  u8 status = 0;
  if (mode_ == Mode::kRemote) status |= 0x40;
  if (enabled_) status |= 0x20;
  if (scaling_2_to_1_) status |= 0x10;
  // Here, unlike in packets, the right button is bit 0.
  if ((buttons_ & 1) != 0) status |= 0x04;
  if ((buttons_ & 4) != 0) status |= 0x02;
  if ((buttons_ & 2) != 0) status |= 0x01;
  reply({kAcknowledge, status, resolution_, rate_});
}

// --- Movement ---

bool Ps2Mouse::streams() const {
  return enabled_ && mode_ == Mode::kStream && !wrap_;
}

void Ps2Mouse::move(i32 dx, i32 dy, i32 wheel) {
  if (!enabled_ && mode_ == Mode::kStream) return;
  dx_ = add_pending(dx_, dx);
  dy_ = add_pending(dy_, dy);
  wheel_ = protocol_ == Protocol::kStandard ? 0 : add_pending(wheel_, wheel);
  if (streams() && moved() && !has_event()) stream_packet();
}

void Ps2Mouse::button(MouseButton button, bool pressed) {
  const u8 mask = static_cast<u8>(1u << static_cast<unsigned>(button));
  const u8 before = buttons_;
  buttons_ = pressed ? static_cast<u8>(buttons_ | mask) : static_cast<u8>(buttons_ & ~mask);
  // Every change gets a packet of its own: a click must not vanish between two samples.
  if (buttons_ != before && streams()) stream_packet();
}

void Ps2Mouse::drained() {
  if (streams() && (moved() || unsent_)) stream_packet();
}

void Ps2Mouse::stream_packet() {
  unsent_ = event_room() < packet_bytes();
  if (unsent_) return;
  const std::array<u8, 4> packet = take_packet(scaling_2_to_1_);
  send_event(std::span(packet).first(packet_bytes()));
}

std::size_t Ps2Mouse::packet_bytes() const {
  return protocol_ == Protocol::kStandard ? 3 : 4;
}

std::array<u8, 4> Ps2Mouse::take_packet(bool scaled) {
  i32 x = take_some(dx_, -kMaxCount, kMaxCount);
  i32 y = -take_some(dy_, -kMaxCount, kMaxCount);  // up is positive here
  if (scaled) {
    x = scale(x);
    y = scale(y);
  }
  const i32 z = -take_some(wheel_, -7, 7);  // towards the user is positive here
  u8 head = static_cast<u8>(kAlwaysSet | (buttons_ & 7));
  if (x < 0) head |= kXSign;
  if (y < 0) head |= kYSign;
  u8 tail = static_cast<u8>(z);
  if (protocol_ == Protocol::kExplorer) {
    tail = static_cast<u8>((z & 0x0f) | (buttons_ & 0x18) << 1);
  }
  return {head, static_cast<u8>(x), static_cast<u8>(y), tail};
}

void Ps2Mouse::transfer(StateIo& io) {
  io.section(name(), 1, [&] {
    io.field(1, "protocol", protocol_);
    io.field(2, "mode", mode_);
    io.field(3, "wrap", wrap_);
    io.field(4, "enabled", enabled_);
    io.field(5, "scaling_2_to_1", scaling_2_to_1_);
    io.field(6, "resolution", resolution_);
    io.field(7, "rate", rate_);
    io.field(8, "previous_rates", previous_rates_);
    io.field(9, "pending_command", pending_command_);
    io.field(10, "buttons", buttons_);
    io.field(11, "unsent", unsent_);
    io.field(12, "dx", dx_);
    io.field(13, "dy", dy_);
    io.field(14, "wheel", wheel_);
    transfer_queues(io);
    io.check(protocol_ == Protocol::kStandard || protocol_ == Protocol::kWheel ||
                 protocol_ == Protocol::kExplorer,
             "protocol is not a mouse ID");
    io.check(mode_ <= Mode::kRemote, "mode is not a mouse mode");
    const auto sane = [](i32 n) { return n >= -kMaxPending && n <= kMaxPending; };
    io.check(sane(dx_) && sane(dy_) && sane(wheel_), "a pending movement is too great");
  });
}

}  // namespace emu
