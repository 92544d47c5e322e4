// SPDX-License-Identifier: Apache-2.0
#include "devices/chipset/io_apic.h"

#include "base/bits.h"

namespace emu {
namespace {

// Window offsets.
constexpr u64 kSelect = 0x00, kWindow = 0x10, kEoi = 0x40;
// Register numbers.
constexpr u8 kId = 0x00, kVersion = 0x01, kArbitration = 0x02, kRedirection = 0x10;
constexpr u32 kVersionValue = (IoApicState::kInputs - 1) << 16 | 0x20;

// IOREDTBL bits (3.2.4).
constexpr u64 kLogical = 1 << 11, kRemoteIrr = 1 << 14, kLevel = 1 << 15, kMasked = 1 << 16;
constexpr u64 kWritable = 0xff00'0000'0001'afff;

constexpr DeliveryMode delivery_mode(u64 entry) {
  return static_cast<DeliveryMode>(bits(entry, 8, 3));
}

// Only interrupts that end with an EOI can be held by level.
constexpr bool level_triggered(u64 entry) {
  const DeliveryMode mode = delivery_mode(entry);
  return (entry & kLevel) != 0 &&
         (mode == DeliveryMode::kFixed || mode == DeliveryMode::kLowestPriority);
}

}  // namespace

IoApic::IoApic(ApicBus& bus) : bus_(bus) {
  state_.redirection.fill(kMasked);
  bus_.attach(*this);
}

IoApic::~IoApic() {
  bus_.detach(*this);
}

void IoApic::reset() {
  state_.id = 0;
  state_.select = 0;
  state_.redirection.fill(kMasked);
  if (changed_) changed_();
}

void IoApic::set_irq(unsigned input, bool active) {
  if (input >= kInputs) return;
  const bool rises = active && !bit(state_.levels, input);
  const u32 mask = 1u << input;
  state_.levels = active ? state_.levels | mask : state_.levels & ~mask;
  if (!rises) return;
  const u64 entry = state_.redirection[input];
  if (level_triggered(entry)) {
    serve_level(input);
  } else if ((entry & kMasked) == 0) {
    send(input);
  }
}

void IoApic::restore_irq(unsigned input, bool active) {
  if (input >= kInputs) return;
  const u32 mask = 1u << input;
  state_.levels = active ? state_.levels | mask : state_.levels & ~mask;
}

ApicMessage IoApic::message(unsigned input) const {
  const u64 entry = state_.redirection[input];
  return {.destination = static_cast<u32>(entry >> 56),
          .logical = (entry & kLogical) != 0,
          .mode = delivery_mode(entry),
          .vector = static_cast<u8>(entry),
          .level = level_triggered(entry)};
}

bool IoApic::is_level_triggered(unsigned input) const {
  return level_triggered(state_.redirection[input]);
}

std::optional<ApicMessage> IoApic::level_message(unsigned input) const {
  const u64 entry = state_.redirection[input];
  const bool idle = (entry & kMasked) != 0 && (entry & kRemoteIrr) == 0;
  if (!level_triggered(entry) || idle) return std::nullopt;
  return message(input);
}

bool IoApic::send(unsigned input) {
  return bus_.deliver(message(input));
}

// One message until the processor's EOI clears Remote IRR.
void IoApic::serve_level(unsigned input) {
  u64& entry = state_.redirection[input];
  if (!level_triggered(entry) || (entry & (kMasked | kRemoteIrr)) != 0) return;
  if (bit(state_.levels, input) && send(input)) entry |= kRemoteIrr;
}

void IoApic::end_of_interrupt(u8 vector) {
  for (unsigned i = 0; i < kInputs; ++i) {
    u64& entry = state_.redirection[i];
    if ((entry & kRemoteIrr) == 0 || static_cast<u8>(entry) != vector) continue;
    entry &= ~kRemoteIrr;
    serve_level(i);
  }
}

u64 IoApic::read(u64 offset, unsigned) {
  if (offset == kSelect) return state_.select;
  return offset == kWindow ? read_register() : 0;
}

void IoApic::write(u64 offset, unsigned, u64 value) {
  if (offset == kSelect) state_.select = static_cast<u8>(value);
  if (offset == kWindow) write_register(static_cast<u32>(value));
  if (offset == kEoi) end_of_interrupt(static_cast<u8>(value));
}

u32 IoApic::read_register() const {
  switch (state_.select) {
    case kId:
    case kArbitration:
      return u32{state_.id} << 24;
    case kVersion:
      return kVersionValue;
    default:
      break;
  }
  const unsigned input = (state_.select - kRedirection) / 2u;
  if (state_.select < kRedirection || input >= kInputs) return 0;
  const u64 entry = state_.redirection[input];
  return static_cast<u32>(state_.select % 2 == 0 ? entry : entry >> 32);
}

void IoApic::write_register(u32 value) {
  if (state_.select == kId) state_.id = (value >> 24) & 0xf;
  const unsigned input = (state_.select - kRedirection) / 2u;
  if (state_.select < kRedirection || input >= kInputs) return;
  const u64 entry = state_.redirection[input];
  write_redirection(input, state_.select % 2 == 0 ? (entry & ~low_mask(32)) | value
                                                  : (entry & low_mask(32)) | u64{value} << 32);
}

// Switching an input to edge and back is how old kernels end a level interrupt without the EOI
// register: Remote IRR does not survive edge mode.
void IoApic::write_redirection(unsigned input, u64 value) {
  u64& entry = state_.redirection[input];
  entry = (value & kWritable) | (entry & kRemoteIrr);
  if (!level_triggered(entry)) entry &= ~kRemoteIrr;
  if (changed_) changed_();
  serve_level(input);
}

void IoApic::transfer(StateIo& io) {
  io.section(name(), 1, [&] {
    io.field(1, "IOAPICID", state_.id);
    io.field(2, "IOREGSEL", state_.select);
    io.field(3, "levels", state_.levels);
    io.field(4, "IOREDTBL", state_.redirection);
  });
  if (io.loading()) sanitize();
}

void IoApic::set_state(const IoApicState& state) {
  state_ = state;
  sanitize();
}

void IoApic::sanitize() {
  state_.id &= 0xf;
  state_.levels &= static_cast<u32>(low_mask(kInputs));
  for (u64& entry : state_.redirection) {
    entry &= kWritable | kRemoteIrr;
    if (!level_triggered(entry)) entry &= ~kRemoteIrr;
  }
}

}  // namespace emu
