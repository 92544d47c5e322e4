// SPDX-License-Identifier: Apache-2.0
// Escalation: from an event to a handler, a double fault or shutdown.
// Source: Intel SDM vol. 3 6.15 (#DF), table 6-4 and 6-5; 17.2, 17.3 (#DB).
#include "cpu/delivery.h"

#include "cpu/debug_registers.h"
#include "cpu/gate_delivery.h"

namespace emu {
namespace {

// A hostile chain of task gates with T flags set could feed itself for ever.
constexpr unsigned kMaxAttempts = 16;

enum class FaultClass : u8 { kBenign, kContributory, kPage, kDouble };

FaultClass class_of(u8 vector) {
  switch (vector) {
    case kVectorDe:
    case kVectorTs:
    case kVectorNp:
    case kVectorSs:
    case kVectorGp:
      return FaultClass::kContributory;
    case kVectorPf:
      return FaultClass::kPage;
    case kVectorDf:
      return FaultClass::kDouble;
    default:
      return FaultClass::kBenign;
  }
}

FaultClass class_of(const Event& event) {
  return event.kind == EventKind::kException ? class_of(event.vector) : FaultClass::kBenign;
}

Event exception_event(const Fault& fault) {
  Event event;
  event.vector = fault.vector;
  event.kind = EventKind::kException;
  event.has_error_code = fault.has_error_code;
  event.error_code = fault.error_code;
  event.address = fault.address;
  return event;
}

// CR2, DR6 and DR7 change when delivery starts, whatever becomes of it.
void record(CpuCore& core, const Event& event) {
  CpuState& state = core.state;
  if (event.kind == EventKind::kNmi) state.nmi_blocked = true;
  if (event.kind != EventKind::kException) return;
  if (event.vector == kVectorPf) state.cr2 = event.address;
  if (event.vector != kVectorDb) return;
  state.dr6 = (state.dr6 & ~u64{0xf}) | event.address | kDr6Fixed1;
  if ((state.dr7 & kDr7Gd) != 0) core.effects |= kEffectBreakpoints;
  state.dr7 &= ~kDr7Gd;
  state.debugctl &= ~u64{3};
}

// What to deliver after `second` came up while `first` was being delivered; false is shutdown.
bool escalate(const Event& first, const Fault& second, Event& next) {
  const FaultClass a = class_of(first);
  const FaultClass b = class_of(second.vector);
  if (a == FaultClass::kDouble && b != FaultClass::kBenign) return false;
  const bool becomes_double =
      (a == FaultClass::kContributory && b == FaultClass::kContributory) ||
      (a == FaultClass::kPage && (b == FaultClass::kContributory || b == FaultClass::kPage));
  next = exception_event(becomes_double ? Fault::with_code(kVectorDf, 0) : second);
  return true;
}

}  // namespace

DeliveryResult deliver(CpuCore& core, const Event& event) noexcept {
  CpuState& state = core.state;
  Event current = event;
  for (unsigned attempt = 0; attempt < kMaxAttempts; ++attempt) {
    record(core, current);
    const Fault fault = deliver_through_gate(core, current);
    if (!fault) {
      state.interrupt_shadow = false;
      state.activity = Activity::kRunning;
      return DeliveryResult::kDelivered;
    }
    // CR2 is written when a page fault is detected, even if it ends as a double fault (6.15, #PF).
    if (fault.vector == kVectorPf) state.cr2 = fault.address;
    Event next;
    if (!escalate(current, fault, next)) break;
    current = next;
  }
  state.activity = Activity::kShutdown;
  return DeliveryResult::kShutdown;
}

DeliveryResult deliver_fault(CpuCore& core, const Fault& fault) noexcept {
  return deliver(core, exception_event(fault));
}

DeliveryResult deliver_interrupt(CpuCore& core, u8 vector, bool resume) noexcept {
  Event event;
  event.vector = vector;
  event.resume = resume;
  return deliver(core, event);
}

DeliveryResult deliver_nmi(CpuCore& core, bool resume) noexcept {
  Event event;
  event.vector = kVectorNmi;
  event.kind = EventKind::kNmi;
  event.resume = resume;
  return deliver(core, event);
}

DeliveryResult deliver_software(CpuCore& core, u8 vector, EventKind kind, u64 next_rip) noexcept {
  Event event;
  event.vector = vector;
  event.kind = kind;
  event.next_rip = next_rip;
  return deliver(core, event);
}

}  // namespace emu
