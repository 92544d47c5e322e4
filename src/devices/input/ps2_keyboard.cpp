// SPDX-License-Identifier: Apache-2.0
#include "devices/input/ps2_keyboard.h"

#include "devices/input/scancodes.h"

namespace emu {
namespace {

enum Command : u8 {
  kSetLeds = 0xed,
  kEcho = 0xee,
  kSelectSet = 0xf0,
  kIdentify = 0xf2,
  kSetTypematic = 0xf3,
  kEnable = 0xf4,
  kDisable = 0xf5,
  kSetDefaults = 0xf6,
  kAllTypematic = 0xf7,
  kAllMakeBreak = 0xf8,
  kAllMake = 0xf9,
  kAllTypematicMakeBreak = 0xfa,
  kKeyTypematic = 0xfb,
  kKeyMakeBreak = 0xfc,
  kKeyMake = 0xfd,
  kResendLast = 0xfe,
  kReset = 0xff,
};

constexpr u8 kBreakPrefix = 0xf0;
constexpr u8 kExtended = 0xe0;
constexpr u8 kDefaultTypematic = 0x2b;  // 500 ms, 10.9 per second
constexpr std::size_t kOverrunRoom = 1;

}  // namespace

Ps2Keyboard::Ps2Keyboard(Clock& clock) : clock_(clock) {
  repeat_timer_ = clock_.create_timer([this] { repeat(); });
  reset();
}

void Ps2Keyboard::reset() {
  discard_all();
  pending_command_ = 0;
  leds_ = 0;
  leds_known_ = false;
  down_.fill(0);
  set_defaults();
  scanning_ = true;
}

void Ps2Keyboard::set_defaults() {
  set_ = 2;
  typematic_ = kDefaultTypematic;
  set_all_key_types(kBreaks | kTypematic);
  stop_repeat();
}

void Ps2Keyboard::set_all_key_types(u8 type) {
  key_types_.fill(type);
}

// --- Commands ---

void Ps2Keyboard::write(u8 byte) {
  if (pending_command_ != 0 && byte < kSetLeds) return argument(byte);
  pending_command_ = 0;
  command(byte);
}

void Ps2Keyboard::command(u8 byte) {
  switch (static_cast<Command>(byte)) {
    case kSetLeds:
    case kSelectSet:
    case kSetTypematic:
    case kKeyTypematic:
    case kKeyMakeBreak:
    case kKeyMake:
      pending_command_ = byte;
      return reply({kAcknowledge});
    case kEcho:
      return reply({kEcho});
    case kIdentify:
      return reply({kAcknowledge, 0xab, 0x83});
    case kEnable:
      discard_events();
      scanning_ = true;
      return reply({kAcknowledge});
    case kDisable:
    case kSetDefaults:
      discard_events();
      set_defaults();
      scanning_ = byte == kSetDefaults && scanning_;
      return reply({kAcknowledge});
    case kAllTypematic:
      set_all_key_types(kTypematic);
      return reply({kAcknowledge});
    case kAllMakeBreak:
      set_all_key_types(kBreaks);
      return reply({kAcknowledge});
    case kAllMake:
      set_all_key_types(0);
      return reply({kAcknowledge});
    case kAllTypematicMakeBreak:
      set_all_key_types(kBreaks | kTypematic);
      return reply({kAcknowledge});
    case kResendLast:
      return resend();
    case kReset:
      reset();
      return reply({kAcknowledge, kSelfTestPassed});
  }
  reply({kResend});
}

void Ps2Keyboard::argument(u8 byte) {
  const u8 of = pending_command_;
  // FB..FD take keys until the next command.
  if (of < kKeyTypematic) pending_command_ = 0;
  switch (of) {
    case kSetLeds:
      leds_ = byte & 7;
      leds_known_ = true;
      break;
    case kSelectSet:
      return select_set(byte);
    case kSetTypematic:
      typematic_ = byte & 0x7f;
      break;
    case kKeyTypematic:
      key_types_[byte] = kTypematic;
      break;
    case kKeyMakeBreak:
      key_types_[byte] = kBreaks;
      break;
    default:
      key_types_[byte] = 0;
      break;
  }
  reply({kAcknowledge});
}

void Ps2Keyboard::select_set(u8 set) {
  if (set == 0) return reply({kAcknowledge, set_});
  if (set > 3) return reply({kResend});
  discard_events();
  set_ = set;
  reply({kAcknowledge});
}

// --- Keys ---

bool Ps2Keyboard::down(KeyCode code) const {
  return (down_[code / 8] >> (code % 8) & 1) != 0;
}

void Ps2Keyboard::key(KeyCode code, bool pressed) {
  const KeyScanCodes codes = scan_codes(code);
  if (codes.set2 == 0 || down(code) == pressed) return;
  const u8 mask = static_cast<u8>(1u << (code % 8));
  u8& byte = down_[code / 8];
  byte = pressed ? static_cast<u8>(byte | mask) : static_cast<u8>(byte & ~mask);
  if (!scanning_) return;
  send_key(code, pressed);
  if (pressed) {
    start_repeat(code);
  } else if (repeating_ == code) {
    stop_repeat();
  }
}

void Ps2Keyboard::send_key(KeyCode code, bool pressed) {
  Sequence sequence = set_ == 3 ? set3_sequence(code, pressed) : set2_sequence(code, pressed);
  if (set_ == 1) translate(sequence);
  if (sequence.size == 0) return;
  if (event_room() >= sequence.size + kOverrunRoom) {
    send_event(std::span(sequence.bytes).first(sequence.size));
  } else if (event_room() == kOverrunRoom) {
    const u8 overrun = set_ == 1 ? 0xff : 0x00;
    send_event({&overrun, 1});
  }
}

Ps2Keyboard::Sequence Ps2Keyboard::set2_sequence(KeyCode code, bool pressed) const {
  const bool control = down(kKeyLeftControl) || down(kKeyRightControl);
  const bool shift = down(kKeyLeftShift) || down(kKeyRightShift);
  const bool alt = down(kKeyLeftAlt) || down(kKeyRightAlt);
  Sequence s;
  if (code == kKeyPause) {  // makes and breaks at once
    if (!pressed) return s;
    if (control) {
      s.add({kExtended, 0x7e, kExtended, kBreakPrefix, 0x7e});
    } else {
      s.add({0xe1, 0x14, 0x77, 0xe1, kBreakPrefix, 0x14, kBreakPrefix, 0x77});
    }
    return s;
  }
  if (code == kKeyPrintScreen && alt) {
    if (!pressed) s.add({kBreakPrefix});
    s.add({0x84});
    return s;
  }
  const KeyScanCodes codes = scan_codes(code);
  const bool with_shift = code == kKeyPrintScreen && !control && !shift;
  if (with_shift && pressed) s.add({kExtended, 0x12});
  if (codes.extended) s.add({kExtended});
  if (!pressed) s.add({kBreakPrefix});
  s.add({codes.set2});
  if (with_shift && !pressed) s.add({kExtended, kBreakPrefix, 0x12});
  return s;
}

Ps2Keyboard::Sequence Ps2Keyboard::set3_sequence(KeyCode code, bool pressed) const {
  Sequence s;
  const u8 scan = scan_codes(code).set3;
  if (scan == 0) return s;
  if (!pressed) {
    if ((key_types_[scan] & kBreaks) == 0) return s;
    s.add({kBreakPrefix});
  }
  s.add({scan});
  return s;
}

// Set 1 is what the 8042 makes of set 2.
void Ps2Keyboard::translate(Sequence& sequence) {
  Sequence translated;
  u8 released = 0;
  for (std::size_t i = 0; i < sequence.size; ++i) {
    const u8 byte = sequence.bytes[i];
    if (byte == kBreakPrefix) {
      released = 0x80;
      continue;
    }
    translated.add({static_cast<u8>(translate_set2_to_set1(byte) | released)});
    released = 0;
  }
  sequence = translated;
}

// --- Typematic ---

u64 Ps2Keyboard::repeat_delay_ns() const {
  return ((typematic_ >> 5 & 3) + 1u) * 250'000'000u;
}

// (8 + A) * 2^B * 4.17 ms, with A in bits 2..0 and B in bits 4..3.
u64 Ps2Keyboard::repeat_period_ns() const {
  const u64 a = typematic_ & 7;
  const unsigned b = typematic_ >> 3 & 3;
  return ((8 + a) << b) * 4'170'000;
}

void Ps2Keyboard::start_repeat(KeyCode code) {
  stop_repeat();
  const bool repeats = set_ != 3 || (key_types_[scan_codes(code).set3] & kTypematic) != 0;
  if (code == kKeyPause || !repeats) return;
  repeating_ = code;
  repeat_at_ns_ = clock_.now_ns() + repeat_delay_ns();
  repeat_timer_->arm(repeat_at_ns_);
}

void Ps2Keyboard::stop_repeat() {
  repeating_ = 0;
  repeat_at_ns_ = kNever;
  repeat_timer_->cancel();
}

void Ps2Keyboard::repeat() {
  if (repeating_ == 0 || !scanning_) return stop_repeat();
  // A host that does not read gets no backlog of repeats.
  if (!has_event()) send_key(repeating_, true);
  repeat_at_ns_ = clock_.now_ns() + repeat_period_ns();
  repeat_timer_->arm(repeat_at_ns_);
}

void Ps2Keyboard::transfer(StateIo& io) {
  io.section(name(), 1, [&] {
    io.field(1, "pending_command", pending_command_);
    io.field(2, "set", set_);
    io.field(3, "leds", leds_);
    io.field(4, "typematic", typematic_);
    io.field(5, "scanning", scanning_);
    io.field(6, "down", down_);
    io.field(7, "key_types", key_types_);
    io.field(8, "repeating", repeating_);
    io.field(9, "repeat_at_ns", repeat_at_ns_);
    io.field(40, "leds_known", leds_known_);
    transfer_queues(io);
    io.check(set_ >= 1 && set_ <= 3, "there are scan code sets 1 to 3");
    io.check(repeating_ < 256, "repeating is not a key");
  });
}

void Ps2Keyboard::resumed() {
  repeat_timer_->arm(repeat_at_ns_);
}

}  // namespace emu
