// SPDX-License-Identifier: Apache-2.0
#include "devices/chipset/apic_bus.h"

#include "base/bits.h"
#include "devices/chipset/local_apic.h"

namespace emu {
namespace {

constexpr u32 kBroadcast8 = 0xff, kBroadcast32 = 0xffffffff;

}  // namespace

// Logical ids: a bit mask (flat), 4 bits of cluster and 4 of mask (cluster), or 16 and 16 (x2APIC).
bool ApicBus::matches(const LocalApic& apic, const ApicMessage& message) {
  const u32 destination = message.destination;
  if (destination == (message.wide ? kBroadcast32 : kBroadcast8)) return true;
  if (!message.logical) return destination == apic.id();
  const u32 own = apic.logical_destination();
  if (apic.x2apic()) {
    return own >> 16 == destination >> 16 && (own & destination & 0xffff) != 0;
  }
  if (destination > kBroadcast8) return false;
  const u32 own8 = own >> 24;
  if (apic.flat_model()) return (own8 & destination) != 0;
  return own8 >> 4 == destination >> 4 && (own8 & destination & 0xf) != 0;
}

// Figures 11-24 and 11-25.
std::pair<u64, u32> ApicBus::as_write(const ApicMessage& m) {
  const u64 address =
      kWindowBase | u64{m.destination & kBroadcast8} << 12 | (m.logical ? 1u << 2 : 0);
  const u32 data = m.vector | static_cast<u32>(m.mode) << 8 | 1u << 14 | (m.level ? 1u << 15 : 0);
  return {address, data};
}

bool ApicBus::deliver(const ApicMessage& message) {
  if (remote_) {
    const auto [address, data] = as_write(message);
    return remote_(address, data);
  }
  bool taken = false;
  LocalApic* lowest = nullptr;
  for (LocalApic* apic : apics_) {
    if (!apic->enabled() || !matches(*apic, message)) continue;
    if (message.mode != DeliveryMode::kLowestPriority) {
      taken |= apic->accept(message.mode, message.vector, message.level);
    } else if (apic->software_enabled() &&
               (lowest == nullptr || apic->processor_priority() < lowest->processor_priority())) {
      lowest = apic;
    }
  }
  if (lowest != nullptr) {
    taken = lowest->accept(DeliveryMode::kFixed, message.vector, message.level);
  }
  return taken;
}

void ApicBus::broadcast(const ApicMessage& message, const LocalApic* except) {
  for (LocalApic* apic : apics_) {
    if (apic != except && apic->enabled()) {
      apic->accept(message.mode, message.vector, message.level);
    }
  }
}

void ApicBus::end_of_interrupt(u8 vector) {
  for (EoiListener* listener : listeners_) listener->end_of_interrupt(vector);
}

// Figures 11-24 and 11-25. The redirection hint makes a logical destination a choice of one.
void ApicBus::send_msi(u64 address, u32 data) {
  if (address - kWindowBase >= kWindowBytes) return;
  const bool hint = bit(address, 3), logical = bit(address, 2);
  const bool level = bit(data, 15), assert = bit(data, 14);
  if (level && !assert) return;
  if (remote_) {
    remote_(address, data);
    return;
  }
  DeliveryMode mode = static_cast<DeliveryMode>(bits(data, 8, 3));
  if (hint && logical && mode == DeliveryMode::kFixed) mode = DeliveryMode::kLowestPriority;
  deliver({.destination = static_cast<u32>(bits(address, 12, 8)),
           .logical = logical,
           .mode = mode,
           .vector = static_cast<u8>(data),
           .level = level});
}

u64 ApicBus::read(u64, unsigned size) {
  return byte_mask(size);
}

void ApicBus::write(u64 offset, unsigned, u64 value) {
  send_msi(kWindowBase + offset, static_cast<u32>(value));
}

}  // namespace emu
