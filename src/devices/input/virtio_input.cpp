// SPDX-License-Identifier: Apache-2.0
#include "devices/input/virtio_input.h"

#include <linux/input-event-codes.h>

#include <algorithm>

#include "base/bits.h"
#include "devices/input/linux_keys.h"

namespace emu {
namespace {

// enum virtio_input_config_select (5.8.2).
enum Select : u8 { kIdName = 1, kIdSerial, kIdDevids, kPropBits = 0x10, kEvBits, kAbsInfo };
constexpr unsigned kEventQueue = 0;
constexpr std::size_t kEventBytes = 8, kValueAt = 8, kMaxValueBytes = 128;
// The input layer's bus for devices that are not real; QEMU's vendor, whose products guests know.
constexpr u16 kBusVirtual = 6, kVendor = 0x0627, kVersion = 1;

std::string_view name_of(VirtioInput::Kind kind) {
  switch (kind) {
    case VirtioInput::Kind::kKeyboard:
      return "emu virtio keyboard";
    case VirtioInput::Kind::kMouse:
      return "emu virtio mouse";
    case VirtioInput::Kind::kTablet:
      break;
  }
  return "emu virtio tablet";
}

u32 class_of(VirtioInput::Kind kind) {
  return kind == VirtioInput::Kind::kKeyboard ? 0x090000 : 0x090200;
}

void set_bit(std::vector<u8>& bits, u32 number) {
  if (bits.size() <= number / 8) bits.resize(number / 8 + 1);
  bits[number / 8] = static_cast<u8>(bits[number / 8] | 1u << (number % 8));
}

}  // namespace

VirtioInput::VirtioInput(AddressSpace& space, Kind kind)
    : VirtioDevice(space,
                   {std::string(name_of(kind)), virtio::kTypeInput, class_of(kind), kConfigBytes},
                   {kQueueSize, kQueueSize}),
      kind_(kind) {}

void VirtioInput::fill_config(std::span<u8> out) {
  const std::vector<u8> value = selected();
  const std::size_t size = std::min(value.size(), kMaxValueBytes);
  out[0] = select_;
  out[1] = subselect_;
  out[2] = static_cast<u8>(size);
  std::copy_n(value.begin(), size, out.begin() + kValueAt);
}

void VirtioInput::config_written(u64 offset, std::span<const u8> bytes) {
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (offset + i == 0) select_ = bytes[i];
    if (offset + i == 1) subselect_ = bytes[i];
  }
}

std::vector<u8> VirtioInput::selected() const {
  std::vector<u8> value;
  switch (select_) {
    case kIdName:
      if (subselect_ == 0) value.assign(name_of(kind_).begin(), name_of(kind_).end());
      break;
    case kIdDevids:
      value.resize(8);
      store_le(&value[0], kBusVirtual);
      store_le(&value[2], kVendor);
      store_le(&value[4], static_cast<u16>(1 + static_cast<unsigned>(kind_)));
      store_le(&value[6], kVersion);
      break;
    case kEvBits:
      return event_bits();
    case kAbsInfo:  // minimum, maximum, fuzz, flat, resolution
      if (kind_ != Kind::kTablet || subselect_ > ABS_Y) break;
      value.resize(20);
      store_le(&value[4], u32{kRange});
      break;
    default:
      break;
  }
  return value;
}

std::vector<u8> VirtioInput::event_bits() const {
  std::vector<u8> bits;
  if (subselect_ == EV_KEY && kind_ == Kind::kKeyboard) {
    for (KeyCode usage = 0; usage < 256; ++usage) {
      if (const u16 code = linux_key(usage); code != 0) set_bit(bits, code);
    }
  } else if (subselect_ == EV_KEY) {
    for (u32 code = BTN_LEFT; code <= BTN_EXTRA; ++code) set_bit(bits, code);
  } else if (subselect_ == EV_REL && kind_ != Kind::kKeyboard) {
    if (kind_ == Kind::kMouse) set_bit(bits, REL_X), set_bit(bits, REL_Y);
    set_bit(bits, REL_WHEEL);
  } else if (subselect_ == EV_ABS && kind_ == Kind::kTablet) {
    set_bit(bits, ABS_X), set_bit(bits, ABS_Y);
  } else if (subselect_ == EV_REP && kind_ == Kind::kKeyboard) {
    set_bit(bits, REP_DELAY), set_bit(bits, REP_PERIOD);
  } else if (subselect_ == EV_LED && kind_ == Kind::kKeyboard) {
    set_bit(bits, LED_NUML), set_bit(bits, LED_CAPSL), set_bit(bits, LED_SCROLLL);
  }
  return bits;
}

void VirtioInput::key(KeyCode code, bool pressed) {
  if (const u16 known = linux_key(code); known != 0) send({{EV_KEY, known, pressed ? 1u : 0u}});
}

void VirtioInput::move(i32 dx, i32 dy, i32 wheel) {
  std::vector<Event> events;
  if (dx != 0) events.push_back({EV_REL, REL_X, static_cast<u32>(dx)});
  if (dy != 0) events.push_back({EV_REL, REL_Y, static_cast<u32>(dy)});
  if (wheel != 0) events.push_back({EV_REL, REL_WHEEL, static_cast<u32>(wheel)});
  send(events);
}

void VirtioInput::point(u16 x, u16 y, i32 wheel) {
  std::vector<Event> events{{EV_ABS, ABS_X, x}, {EV_ABS, ABS_Y, y}};
  if (wheel != 0) events.push_back({EV_REL, REL_WHEEL, static_cast<u32>(wheel)});
  send(events);
}

void VirtioInput::button(MouseButton button, bool pressed) {
  static constexpr std::array<u16, 5> kCodes{BTN_LEFT, BTN_RIGHT, BTN_MIDDLE, BTN_SIDE, BTN_EXTRA};
  send({{EV_KEY, kCodes[static_cast<unsigned>(button) % kCodes.size()], pressed ? 1u : 0u}});
}

void VirtioInput::send(const std::vector<Event>& events) {
  if (events.empty() || !is_running() || waiting_.size() + events.size() + 1 > kMaxWaiting) return;
  waiting_.insert(waiting_.end(), events.begin(), events.end());
  waiting_.push_back({EV_SYN, SYN_REPORT, 0});
  deliver();
}

void VirtioInput::deliver() {
  bool any = false;
  while (!waiting_.empty()) {
    const auto chain = next_chain(kEventQueue);
    if (!chain) break;
    DmaList out;
    if (!chain->map_writable(memory(), out)) return fail("a buffer for events is not in RAM");
    std::array<u8, kEventBytes> raw;
    store_le(&raw[0], waiting_.front().type);
    store_le(&raw[2], waiting_.front().code);
    store_le(&raw[4], waiting_.front().value);
    waiting_.pop_front();
    push(kEventQueue, *chain, static_cast<u32>(out.write(0, raw)));
    any = true;
  }
  if (any) interrupt(kEventQueue);
}

void VirtioInput::notified(unsigned queue) {
  if (queue == kEventQueue) return deliver();
  each_chain(queue, [&](const VirtioChain& chain) { complete(queue, chain, 0); });
}

void VirtioInput::reset_model() {
  select_ = subselect_ = 0;
  waiting_.clear();
}

void VirtioInput::transfer_model(StateIo& io) {
  io.field(1, "select", select_);
  io.field(2, "subselect", subselect_);
  if (io.loading()) waiting_.clear();
}

}  // namespace emu
