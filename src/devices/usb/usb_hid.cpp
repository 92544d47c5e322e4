// SPDX-License-Identifier: Apache-2.0
#include "devices/usb/usb_hid.h"

#include <algorithm>

namespace emu {
namespace {

// HID 7.2; type and request.
constexpr u16 kGetReport = 0xa101, kGetIdle = 0xa102, kGetProtocol = 0xa103, kSetReport = 0x2109,
              kSetIdle = 0x210a, kSetProtocol = 0x210b, kGetInterfaceDescriptor = 0x8106;
constexpr i32 kMostWay = 1 << 20;  // of a pointer whose reports nobody fetches
constexpr u8 kInterval = 8;        // milliseconds between polls

constexpr std::array<u8, 18> device_descriptor_of(u16 product) {
  return {18,
          usb::kDeviceDescriptor,
          0x10,
          0x01,  // USB 1.1
          0,
          0,  // class: per interface
          0,
          static_cast<u8>(UsbDevice::kControlPacketBytes),  //
          0x27,
          0x06,                      // QEMU's, as drivers know
          static_cast<u8>(product),  //
          static_cast<u8>(product >> 8),
          0,
          1,  // release 1.0
          1,
          2,
          0,  // strings
          1};
}

constexpr u8 kConfigurationBytes = 34;

std::array<u8, kConfigurationBytes> configuration_of(u8 subclass, u8 protocol, u8 packet_bytes,
                                                     std::size_t report_bytes) {
  return {9,
          usb::kConfigurationDescriptor,
          kConfigurationBytes,
          0,
          1,
          1,
          0,
          0xa0,
          50,
          9,
          usb::kInterfaceDescriptor,
          0,
          0,
          1,
          3,
          subclass,
          protocol,
          0,
          9,
          usb::kHidDescriptor,
          0x11,
          0x01,
          0,
          1,
          usb::kReportDescriptor,
          static_cast<u8>(report_bytes),
          static_cast<u8>(report_bytes >> 8),
          7,
          usb::kEndpointDescriptor,
          usb::kEndpointIn | 1,
          usb::kInterrupt,
          packet_bytes,
          0,
          kInterval};
}

// Five buttons, then two 16-bit positions and a wheel.
constexpr u8 kTabletReport[] = {
    0x05, 0x01, 0x09, 0x02, 0xa1, 0x01, 0x09, 0x01, 0xa1, 0x00,              // mouse, pointer
    0x05, 0x09, 0x19, 0x01, 0x29, 0x05, 0x15, 0x00, 0x25, 0x01,              // buttons 1..5
    0x95, 0x05, 0x75, 0x01, 0x81, 0x02, 0x95, 0x01, 0x75, 0x03, 0x81, 0x01,  // and three bits
    0x05, 0x01, 0x09, 0x30, 0x09, 0x31, 0x15, 0x00, 0x26, 0xff, 0x7f,        // X, Y 0..32767
    0x35, 0x00, 0x46, 0xff, 0x7f, 0x75, 0x10, 0x95, 0x02, 0x81, 0x02,        //
    0x09, 0x38, 0x15, 0x81, 0x25, 0x7f, 0x35, 0x00, 0x45, 0x00,              // wheel
    0x75, 0x08, 0x95, 0x01, 0x81, 0x06, 0xc0, 0xc0};

constexpr u8 kMouseReport[] = {
    0x05, 0x01, 0x09, 0x02, 0xa1, 0x01, 0x09, 0x01, 0xa1, 0x00,              // mouse, pointer
    0x05, 0x09, 0x19, 0x01, 0x29, 0x05, 0x15, 0x00, 0x25, 0x01,              // buttons 1..5
    0x95, 0x05, 0x75, 0x01, 0x81, 0x02, 0x95, 0x01, 0x75, 0x03, 0x81, 0x01,  // and three bits
    0x05, 0x01, 0x09, 0x30, 0x09, 0x31, 0x09, 0x38, 0x15, 0x81, 0x25, 0x7f,  // X, Y, wheel
    0x75, 0x08, 0x95, 0x03, 0x81, 0x06, 0xc0, 0xc0};

// HID appendix B.1, with usages to FFh.
constexpr u8 kKeyboardReport[] = {
    0x05, 0x01, 0x09, 0x06, 0xa1, 0x01, 0x75, 0x01, 0x95, 0x08, 0x05, 0x07, 0x19, 0xe0, 0x29, 0xe7,
    0x15, 0x00, 0x25, 0x01, 0x81, 0x02, 0x95, 0x01, 0x75, 0x08, 0x81, 0x01, 0x95, 0x05, 0x75, 0x01,
    0x05, 0x08, 0x19, 0x01, 0x29, 0x05, 0x91, 0x02, 0x95, 0x01, 0x75, 0x03, 0x91, 0x01, 0x95, 0x06,
    0x75, 0x08, 0x15, 0x00, 0x26, 0xff, 0x00, 0x05, 0x07, 0x19, 0x00, 0x29, 0xff, 0x81, 0x00, 0xc0};

u8 low(i32 value) {
  return static_cast<u8>(value & 0xff);
}
u8 high(i32 value) {
  return static_cast<u8>(value >> 8 & 0xff);
}

}  // namespace

UsbHid::UsbHid(std::string name, const Kind& kind)
    : UsbDevice(std::move(name)),
      kind_(kind),
      device_(device_descriptor_of(kind.product_id)),
      configuration_(
          configuration_of(kind.subclass, kind.protocol, 8, kind.report_descriptor.size())) {}

std::string_view UsbHid::string(u8 index) const {
  if (index == 1) return "emu";
  return index == 2 ? kind_.product : std::string_view();
}

std::optional<std::vector<u8>> UsbHid::control_in(const usb::Setup& setup) {
  const auto report = kind_.report_descriptor;
  switch (setup.code()) {
    case kGetInterfaceDescriptor:
      if (setup.value >> 8 == usb::kReportDescriptor)
        return std::vector<u8>(report.begin(), report.end());
      if (setup.value >> 8 == usb::kHidDescriptor)
        return std::vector<u8>(configuration_.begin() + 18, configuration_.begin() + 27);
      return std::nullopt;
    case kGetReport:
      return current_report();
    case kGetIdle:
      return std::vector<u8>{idle_};
    case kGetProtocol:
      return std::vector<u8>{protocol_};
    default:
      return std::nullopt;
  }
}

bool UsbHid::control_out(const usb::Setup& setup, std::span<const u8> data) {
  switch (setup.code()) {
    case kSetReport:
      if (!data.empty()) leds_ = data.front();
      return true;
    case kSetIdle:
      idle_ = static_cast<u8>(setup.value >> 8);
      return true;
    case kSetProtocol:
      protocol_ = static_cast<u8>(setup.value & 1);
      return true;
    default:
      return false;
  }
}

UsbReply UsbHid::endpoint_in(u8 endpoint, std::span<u8> data) {
  if (endpoint != 1) return {UsbStatus::kStall, 0};
  if (data.size() < kind_.report_bytes) return {UsbStatus::kNak, 0};
  const auto report = next_report();
  if (!report) return {UsbStatus::kNak, 0};
  std::copy(report->begin(), report->end(), data.begin());
  return {UsbStatus::kAck, report->size()};
}

void UsbHid::reset_hid() {
  idle_ = 0;
  protocol_ = 1;
  leds_ = 0;
}

void UsbHid::transfer_hid(StateIo& io) {
  io.field(20, "idle", idle_);
  io.field(21, "protocol", protocol_);
  io.field(22, "leds", leds_);
}

// --- Pointers ---

void PointerQueue::append(const PointerEvent& event) {
  const bool full = events_.size() >= kMostEvents;
  if (!events_.empty() && (full || events_.back().buttons == event.buttons)) {
    PointerEvent& back = events_.back();
    const bool relative = kind_ == Kind::kRelative;
    const auto sum = [](i32 a, i32 b) {
      return static_cast<i32>(std::clamp<i64>(i64{a} + b, -kMostWay, kMostWay));
    };
    back.x = relative ? sum(back.x, event.x) : event.x;
    back.y = relative ? sum(back.y, event.y) : event.y;
    back.wheel = sum(back.wheel, event.wheel);
    back.buttons = event.buttons;
  } else {
    events_.push_back(event);
  }
  last_ = event;
}

void PointerQueue::move(i32 x, i32 y, i32 wheel) {
  const auto bounded = [](i32 value) { return std::clamp(value, -kMostWay, kMostWay); };
  append({bounded(x), bounded(y), bounded(wheel), last_.buttons});
}

void PointerQueue::button(MouseButton button, bool pressed) {
  const u8 mask = static_cast<u8>(1u << static_cast<unsigned>(button));
  const u8 buttons = static_cast<u8>(pressed ? last_.buttons | mask : last_.buttons & ~mask);
  if (buttons == last_.buttons) return;
  const bool relative = kind_ == Kind::kRelative;
  append({relative ? 0 : last_.x, relative ? 0 : last_.y, 0, buttons});
}

std::optional<PointerEvent> PointerQueue::take() {
  if (events_.empty()) return std::nullopt;
  PointerEvent& front = events_.front();
  const auto part = [](i32& value) {
    const i32 step = std::clamp(value, -127, 127);
    value -= step;
    return step;
  };
  const bool relative = kind_ == Kind::kRelative;
  PointerEvent event = front;
  if (relative) event.x = part(front.x);
  if (relative) event.y = part(front.y);
  event.wheel = part(front.wheel);
  const bool done = front.wheel == 0 && (!relative || (front.x == 0 && front.y == 0));
  if (done) events_.pop_front();
  return event;
}

void PointerQueue::clear() {
  events_.clear();
  last_ = {};
}

void PointerQueue::transfer(StateIo& io) {
  std::vector<u8> bytes;
  constexpr std::size_t kBytes = 13;
  const auto put = [&bytes](const PointerEvent& event) {
    for (const i32 value : {event.x, event.y, event.wheel}) {
      for (unsigned i = 0; i < 4; ++i) bytes.push_back(static_cast<u8>(value >> (8 * i)));
    }
    bytes.push_back(event.buttons);
  };
  put(last_);
  for (const PointerEvent& event : events_) put(event);
  io.field(30, "events", bytes, kBytes * (kMostEvents + 1));
  io.check(bytes.size() % kBytes == 0 && !bytes.empty(), "a pointer's events");
  if (!io.loading() || !io.ok()) return;
  clear();
  for (std::size_t at = 0; at < bytes.size(); at += kBytes) {
    const auto value = [&bytes, at](std::size_t i) {
      u32 sum = 0;
      for (std::size_t k = 0; k < 4; ++k) sum |= u32{bytes[at + 4 * i + k]} << (8 * k);
      return std::clamp(static_cast<i32>(sum), -kMostWay, kMostWay);
    };
    const PointerEvent event{value(0), value(1), value(2), bytes[at + 12]};
    if (at == 0) last_ = event;
    if (at != 0) events_.push_back(event);
  }
}

namespace {

std::vector<u8> tablet_report(const PointerEvent& e) {
  return {e.buttons, low(e.x), high(e.x), low(e.y), high(e.y), low(e.wheel)};
}
std::vector<u8> mouse_report(const PointerEvent& e) {
  return {e.buttons, low(e.x), low(e.y), low(e.wheel)};
}

}  // namespace

UsbTablet::UsbTablet(std::string name)
    : UsbHid(std::move(name), {"USB Tablet", 1, 0, 0, 6, kTabletReport}) {}

void UsbTablet::point(u16 x, u16 y, i32 wheel) {
  queue_.move(std::min(x, kRange), std::min(y, kRange), wheel);
  wake();
}

void UsbTablet::button(MouseButton button, bool pressed) {
  queue_.button(button, pressed);
  wake();
}

std::optional<std::vector<u8>> UsbTablet::next_report() {
  const auto event = queue_.take();
  if (!event) return std::nullopt;
  return tablet_report(*event);
}

std::vector<u8> UsbTablet::current_report() const {
  return tablet_report(queue_.last());
}

void UsbTablet::function_reset() {
  reset_hid();
  queue_.clear();
}

void UsbTablet::transfer_function(StateIo& io) {
  transfer_hid(io);
  queue_.transfer(io);
}

UsbMouse::UsbMouse(std::string name)
    : UsbHid(std::move(name), {"USB Mouse", 1, 1, 2, 4, kMouseReport}) {}

void UsbMouse::move(i32 dx, i32 dy, i32 wheel) {
  queue_.move(dx, dy, wheel);
  wake();
}

void UsbMouse::button(MouseButton button, bool pressed) {
  queue_.button(button, pressed);
  wake();
}

std::optional<std::vector<u8>> UsbMouse::next_report() {
  const auto event = queue_.take();
  if (!event) return std::nullopt;
  return mouse_report(*event);
}

std::vector<u8> UsbMouse::current_report() const {
  return mouse_report({0, 0, 0, queue_.last().buttons});
}

void UsbMouse::function_reset() {
  reset_hid();
  queue_.clear();
}

void UsbMouse::transfer_function(StateIo& io) {
  transfer_hid(io);
  queue_.transfer(io);
}

// --- Keyboard ---

UsbKeyboard::UsbKeyboard(std::string name)
    : UsbHid(std::move(name), {"USB Keyboard", 1, 1, 1, 8, kKeyboardReport}) {}

void UsbKeyboard::key(KeyCode code, bool pressed) {
  if (code < 4 || code > 0xff || events_.size() >= 2 * kMostEvents) return;
  events_.push_back(static_cast<u8>(code));
  events_.push_back(pressed ? 1 : 0);
  wake();
}

std::optional<std::vector<u8>> UsbKeyboard::next_report() {
  if (events_.empty()) return std::nullopt;
  const u8 code = events_[0];
  const u8 mask = static_cast<u8>(1u << (code & 7));
  u8& byte = down_[code / 8u];
  byte = static_cast<u8>(events_[1] != 0 ? byte | mask : byte & ~mask);
  events_.erase(events_.begin(), events_.begin() + 2);
  return current_report();
}

// Modifiers as bits, up to six other keys; more are told as ErrorRollOver (HID appendix C).
std::vector<u8> UsbKeyboard::current_report() const {
  std::vector<u8> report{down_[0xe0 / 8], 0};
  for (u32 code = 4; code < 0xe0; ++code) {
    if ((down_[code / 8] >> (code & 7) & 1) != 0) report.push_back(static_cast<u8>(code));
  }
  if (report.size() > 8) report = {report[0], 0, 1, 1, 1, 1, 1, 1};
  report.resize(8);
  return report;
}

void UsbKeyboard::function_reset() {
  reset_hid();
  down_.fill(0);
  events_.clear();
}

void UsbKeyboard::transfer_function(StateIo& io) {
  transfer_hid(io);
  io.field(30, "down", down_);
  io.field(31, "events", events_, 2 * kMostEvents);
  io.check(events_.size() % 2 == 0, "a keyboard's events");
}

}  // namespace emu
