// SPDX-License-Identifier: Apache-2.0
#include "devices/input/i8042.h"

#include <algorithm>

#include "devices/input/scancodes.h"

namespace emu {
namespace {

constexpr u8 kStatusOutputFull = 0x01;
constexpr u8 kStatusSystem = 0x04;
constexpr u8 kStatusCommand = 0x08;
constexpr u8 kStatusUnlocked = 0x10;
constexpr u8 kStatusMouseData = 0x20;

constexpr u8 kCommandByteKeyboardIrq = 0x01;
constexpr u8 kCommandByteMouseIrq = 0x02;
constexpr u8 kCommandByteSystem = 0x04;
constexpr u8 kCommandByteKeyboardOff = 0x10;
constexpr u8 kCommandByteMouseOff = 0x20;
constexpr u8 kCommandByteTranslate = 0x40;

constexpr u8 kOutputPortNotReset = 0x01;
constexpr u8 kOutputPortA20 = 0x02;
constexpr u8 kOutputPortKeyboardFull = 0x10;
constexpr u8 kOutputPortMouseFull = 0x20;
constexpr u8 kOutputPortCables = 0xc0;

enum Command : u8 {
  kReadRam = 0x20,   // .. 3Fh
  kWriteRam = 0x60,  // .. 7Fh
  kTestPassword = 0xa4,
  kLoadPassword = 0xa5,
  kMouseOff = 0xa7,
  kMouseOn = 0xa8,
  kTestMousePort = 0xa9,
  kSelfTest = 0xaa,
  kTestKeyboardPort = 0xab,
  kKeyboardOff = 0xad,
  kKeyboardOn = 0xae,
  kReadInputPort = 0xc0,
  kReadOutputPort = 0xd0,
  kWriteOutputPort = 0xd1,
  kWriteKeyboardBuffer = 0xd2,
  kWriteMouseBuffer = 0xd3,
  kWriteMouse = 0xd4,
  kA20Off = 0xdd,
  kA20On = 0xdf,
  kReadTestInputs = 0xe0,
  kPulseOutput = 0xf0,  // .. FFh: bit 0 clear pulses the reset line
};

constexpr u8 kNoPassword = 0xf1;
constexpr u8 kSelfTestPassed = 0x55;
constexpr u8 kPortTestPassed = 0x00;
constexpr u8 kInputPortUnlocked = 0x80;
constexpr u8 kBreakPrefix = 0xf0;

// Handlers that chain read port 60h twice for one interrupt. A real cable needs most of a
// millisecond for the next scan code; this much is enough for them.
constexpr u64 kEventGapNs = 300'000;

}  // namespace

I8042::I8042(Wires wires, Clock& clock, Ps2Device& keyboard, Ps2Device& mouse)
    : wires_(std::move(wires)), clock_(clock), keyboard_(keyboard), mouse_(mouse) {
  gap_timer_ = clock_.create_timer([this] { pump(); });
  keyboard_.connect(*this);
  mouse_.connect(*this);
  reset();
}

void I8042::reset() {
  ram_.fill(0);
  ram_[0] =
      kCommandByteKeyboardIrq | kCommandByteSystem | kCommandByteMouseOff | kCommandByteTranslate;
  pending_command_ = 0;
  wrote_command_ = false;
  output_full_ = false;
  output_ = 0;
  output_source_ = kKeyboard;
  break_prefix_ = false;
  replies_.clear();
  gap_until_ns_ = 0;
  gap_timer_->cancel();
  set_a20(true);
  update_irqs();
}

// --- The output buffer ---

bool I8042::interrupts(Source source) const {
  const u8 enable = source == kKeyboard ? kCommandByteKeyboardIrq : kCommandByteMouseIrq;
  return output_full_ && output_source_ == source && (ram_[0] & enable) != 0;
}

void I8042::update_irqs() {
  wires_.keyboard_irq.set(interrupts(kKeyboard));
  wires_.mouse_irq.set(interrupts(kMouse));
}

void I8042::load(u8 byte, Source source) {
  output_ = byte;
  output_source_ = source;
  output_full_ = true;
  update_irqs();
}

void I8042::controller_reply(u8 byte, Source as) {
  replies_.push({as, byte});
  pump();
}

bool I8042::disabled(Source source) const {
  return (ram_[0] & (source == kKeyboard ? kCommandByteKeyboardOff : kCommandByteMouseOff)) != 0;
}

void I8042::set_disabled(Source source, bool is_disabled) {
  const u8 mask = source == kKeyboard ? kCommandByteKeyboardOff : kCommandByteMouseOff;
  ram_[0] = static_cast<u8>(is_disabled ? ram_[0] | mask : ram_[0] & ~mask);
  pump();
}

bool I8042::translates() const {
  return (ram_[0] & kCommandByteTranslate) != 0;
}

u8 I8042::translated(u8 byte) {
  if (!translates()) return byte;
  const u8 released = std::exchange(break_prefix_, false) ? 0x80 : 0;
  return static_cast<u8>(translate_set2_to_set1(byte) | released);
}

// Loads the device's next byte if it has one and may send it now.
bool I8042::pump_device(Ps2Device& device, Source source) {
  if (disabled(source)) return false;
  while (device.has_reply() || device.has_event()) {
    if (!device.has_reply() && clock_.now_ns() < gap_until_ns_) {
      gap_timer_->arm(gap_until_ns_);
      return false;
    }
    const u8 byte = device.take();
    if (source == kMouse) {
      load(byte, source);
      return true;
    }
    if (translates() && byte == kBreakPrefix) {
      break_prefix_ = true;
      continue;
    }
    load(translated(byte), source);
    return true;
  }
  return false;
}

// Fills the output buffer, if it is empty, with what is most urgent.
void I8042::pump() {
  if (output_full_) return;
  if (!replies_.empty()) {
    const u8 source = replies_.pop();
    return load(replies_.pop(), source == kMouse ? kMouse : kKeyboard);
  }
  if (!pump_device(keyboard_, kKeyboard)) pump_device(mouse_, kMouse);
}

u64 I8042::read_data(u64, unsigned) {
  const u8 value = output_;
  if (!output_full_) return value;
  output_full_ = false;
  gap_until_ns_ = clock_.now_ns() + kEventGapNs;
  update_irqs();
  pump();
  return value;
}

u64 I8042::read_status(u64, unsigned) {
  u8 status = kStatusUnlocked;
  if (output_full_) status |= kStatusOutputFull;
  if (output_full_ && output_source_ == kMouse) status |= kStatusMouseData;
  if ((ram_[0] & kCommandByteSystem) != 0) status |= kStatusSystem;
  if (wrote_command_) status |= kStatusCommand;
  return status;
}

// --- Commands ---

u8 I8042::output_port() const {
  u8 value = kOutputPortNotReset | kOutputPortCables;
  if (a20_) value |= kOutputPortA20;
  if (output_full_)
    value |= output_source_ == kMouse ? kOutputPortMouseFull : kOutputPortKeyboardFull;
  return value;
}

void I8042::set_a20(bool on) {
  a20_ = on;
  wires_.a20.set(on);
}

void I8042::write_output_port(u8 value) {
  set_a20((value & kOutputPortA20) != 0);
  if ((value & kOutputPortNotReset) == 0) wires_.request_reset();
}

void I8042::write_command(u64, unsigned, u64 value) {
  const u8 byte = static_cast<u8>(value);
  wrote_command_ = true;
  pending_command_ = 0;
  if (byte >= kReadRam && byte < kReadRam + 32) return controller_reply(ram_[byte & 31]);
  if (byte >= kWriteRam && byte < kWriteRam + 32) {
    pending_command_ = byte;
    return;
  }
  if (byte >= kPulseOutput) {
    if ((byte & 1) == 0) wires_.request_reset();
    return;
  }
  switch (byte) {
    case kTestPassword:
      return controller_reply(kNoPassword);
    case kLoadPassword:
    case kWriteOutputPort:
    case kWriteKeyboardBuffer:
    case kWriteMouseBuffer:
    case kWriteMouse:
      pending_command_ = byte;
      return;
    case kMouseOff:
    case kMouseOn:
      return set_disabled(kMouse, byte == kMouseOff);
    case kKeyboardOff:
    case kKeyboardOn:
      return set_disabled(kKeyboard, byte == kKeyboardOff);
    case kTestMousePort:
    case kTestKeyboardPort:
      return controller_reply(kPortTestPassed);
    case kSelfTest:
      ram_[0] |= kCommandByteSystem;
      return controller_reply(kSelfTestPassed);
    case kReadInputPort:
      return controller_reply(kInputPortUnlocked);
    case kReadOutputPort:
      return controller_reply(output_port());
    case kA20Off:
    case kA20On:
      return set_a20(byte == kA20On);
    case kReadTestInputs:
      return controller_reply(0);
    default:
      return;
  }
}

void I8042::write_data(u64, unsigned, u64 value) {
  const u8 byte = static_cast<u8>(value);
  wrote_command_ = false;
  const u8 command = std::exchange(pending_command_, u8{0});
  switch (command) {
    case 0:  // writing to a device opens its port
      set_disabled(kKeyboard, false);
      return keyboard_.write(byte);
    case kWriteMouse:
      set_disabled(kMouse, false);
      return mouse_.write(byte);
    case kWriteOutputPort:
      return write_output_port(byte);
    case kWriteKeyboardBuffer:
      return controller_reply(byte);
    case kWriteMouseBuffer:
      return controller_reply(byte, kMouse);
    case kLoadPassword:  // a zero ends the password that nobody asks for
      if (byte != 0) pending_command_ = command;
      return;
    default:
      ram_[command & 31] = byte;
      update_irqs();
      return pump();
  }
}

void I8042::transfer(StateIo& io) {
  io.section(name(), 1, [&] {
    io.field(1, "ram", ram_);
    io.field(2, "pending_command", pending_command_);
    io.field(3, "wrote_command", wrote_command_);
    io.field(4, "output_full", output_full_);
    io.field(5, "output", output_);
    io.field(6, "output_source", output_source_);
    io.field(7, "a20", a20_);
    io.field(8, "break_prefix", break_prefix_);
    io.field(9, "gap_until_ns", gap_until_ns_);
    replies_.transfer(io, "replies");
    io.check(output_source_ <= kMouse, "output_source is neither keyboard nor mouse");
  });
}

void I8042::resumed() {
  gap_until_ns_ = std::min(gap_until_ns_, clock_.now_ns() + kEventGapNs);
  gap_timer_->arm(clock_.now_ns() < gap_until_ns_ ? gap_until_ns_ : kNever);
  wires_.keyboard_irq.restore(interrupts(kKeyboard));
  wires_.mouse_irq.restore(interrupts(kMouse));
}

}  // namespace emu
