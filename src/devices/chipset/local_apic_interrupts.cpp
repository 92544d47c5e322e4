// SPDX-License-Identifier: Apache-2.0
// The local APIC's interrupts: priorities, acceptance, acknowledge, EOI, IPIs, LINT pins, errors.
// Source: Intel SDM vol. 3, 11.5 (local vectors), 11.6 (IPIs), 11.8 (handling).
#include <bit>

#include "base/bits.h"
#include "devices/chipset/local_apic.h"

namespace emu {
namespace {

using namespace lapic;

constexpr u8 kFirstLegalVector = 16;
constexpr u32 kClass = 0xf0;  // of a vector or priority

constexpr DeliveryMode delivery_mode(u32 value) {
  return static_cast<DeliveryMode>(bits(value, 8, 3));
}

enum Shorthand : u8 { kNoShorthand, kSelf, kAllIncludingSelf, kAllExcludingSelf };

}  // namespace

// The highest vector in ISR, TMR or IRR, or -1.
int LocalApic::highest(unsigned bank) const {
  for (int i = 7; i >= 0; --i) {
    const u32 word = reg(bank + static_cast<unsigned>(i));
    if (word != 0) return i * 32 + 31 - std::countl_zero(word);
  }
  return -1;
}

void LocalApic::set_vector(unsigned bank, u8 vector, bool on) {
  u32& word = reg(bank + vector / 32u);
  const u32 mask = 1u << (vector % 32);
  word = on ? word | mask : word & ~mask;
}

// 11.8.3.1: the higher of the task's class and that of the highest vector in service.
u8 LocalApic::processor_priority() const {
  const u32 task = reg(kTpr);
  const int in_service = highest(kIsr);
  const u32 served = in_service < 0 ? 0 : static_cast<u32>(in_service) & kClass;
  return static_cast<u8>((task & kClass) >= served ? task : served);
}

// The vector to deliver, or -1.
int LocalApic::deliverable() const {
  const int requested = highest(kIrr);
  if (requested < 0 || !enabled()) return -1;
  return (static_cast<u32>(requested) & kClass) > (processor_priority() & kClass) ? requested : -1;
}

// A disabled APIC leaves the processor with plain INTR and NMI pins (11.4.3).
bool LocalApic::pic_passes() const {
  if (!state_.lint_levels[0]) return false;
  const u32 lvt = reg(kLvtLint0);
  return !enabled() || ((lvt & kLvtMasked) == 0 && delivery_mode(lvt) == DeliveryMode::kExtInt);
}

bool LocalApic::line_wanted() const {
  return remote_ ? state_.lint_levels[0] : pic_passes() || deliverable() >= 0;
}

// After a load or reset, whatever the processor last heard.
void LocalApic::drive_line() {
  line_ = line_wanted();
  cpu_.set_interrupt_line(line_);
}

void LocalApic::update() {
  const bool level = line_wanted();
  if (level == line_) return;
  line_ = level;
  cpu_.set_interrupt_line(level);
}

void LocalApic::set_task_priority(u8 priority_class) {
  reg(kTpr) = u32{priority_class} << 4 & kClass;
  update();
}

std::optional<u8> LocalApic::acknowledge() {
  if (remote_ && !state_.lint_levels[0]) return std::nullopt;
  if (remote_ || pic_passes()) return bus_.acknowledge_pic();
  const int vector = deliverable();
  if (vector < 0) return std::nullopt;
  set_vector(kIrr, static_cast<u8>(vector), false);
  set_vector(kIsr, static_cast<u8>(vector), true);
  update();
  return static_cast<u8>(vector);
}

void LocalApic::end_of_interrupt() {
  const int vector = highest(kIsr);
  if (vector < 0) return;
  const u8 ended = static_cast<u8>(vector);
  set_vector(kIsr, ended, false);
  const bool level = bit(reg(kTmr + ended / 32u), ended % 32);
  if (level && (reg(kSvr) & kSvrSuppressEoi) == 0) bus_.end_of_interrupt(ended);
  update();
}

bool LocalApic::accept(DeliveryMode mode, u8 vector, bool level) {
  if (!enabled()) return false;
  switch (mode) {
    case DeliveryMode::kFixed:
    case DeliveryMode::kLowestPriority:
      if (!software_enabled()) return false;
      if (vector < kFirstLegalVector) {
        raise_error(kErrorReceivedIllegalVector);
        return false;
      }
      set_vector(kIrr, vector, true);
      set_vector(kTmr, vector, level);
      update();
      return true;
    case DeliveryMode::kNmi:
      cpu_.raise_nmi();
      return true;
    case DeliveryMode::kSmi:
      cpu_.raise_smi();
      return true;
    case DeliveryMode::kInit:
      // 11.4.7.3: the registers as after a reset; the mode stays.
      reset_registers();
      update();
      cpu_.raise_init();
      return true;
    case DeliveryMode::kStartup:
      cpu_.raise_sipi(vector);
      return true;
    case DeliveryMode::kReserved:
    case DeliveryMode::kExtInt:
      return false;
  }
  return false;
}

// 11.6.1. The trigger mode matters to INIT only: its de-assertion is a message of old bus times.
void LocalApic::send_ipi(u32 low, u32 destination) {
  const ApicMessage message{.destination = destination,
                            .wide = x2apic(),
                            .logical = (low & kIcrLogical) != 0,
                            .mode = delivery_mode(low),
                            .vector = static_cast<u8>(low)};
  const bool deassert = (low & kIcrLevel) != 0 && (low & kIcrAssert) == 0;
  if (message.mode == DeliveryMode::kInit && deassert) return;
  const bool vectored =
      message.mode == DeliveryMode::kFixed || message.mode == DeliveryMode::kLowestPriority;
  if (vectored && message.vector < kFirstLegalVector) return raise_error(kErrorSendIllegalVector);
  switch (static_cast<Shorthand>(bits(low, 18, 2))) {
    case kNoShorthand:
      bus_.deliver(message);
      break;
    case kSelf:
      accept(message.mode, message.vector, false);
      break;
    case kAllIncludingSelf:
      bus_.broadcast(message, nullptr);
      break;
    case kAllExcludingSelf:
      bus_.broadcast(message, this);
      break;
  }
}

void LocalApic::raise_lvt(unsigned index) {
  const u32 lvt = reg(index);
  if ((lvt & kLvtMasked) != 0) return;
  accept(delivery_mode(lvt), static_cast<u8>(lvt), (lvt & kLvtLevel) != 0);
}

// 11.5.3. An error that is pending already is not signalled again; so an illegal vector in the
// error entry itself ends here.
void LocalApic::raise_error(u32 error) {
  if ((state_.pending_errors & error) != 0) return;
  state_.pending_errors |= error;
  raise_lvt(kLvtError);
}

void LocalApic::lint_rises(unsigned pin) {
  if (enabled()) {
    raise_lvt(kLvtLint0 + pin);
  } else if (pin == 1) {
    cpu_.raise_nmi();
  }
}

void LocalApic::set_irq(unsigned input, bool active) {
  const unsigned pin = input & 1;
  const bool rises = active && !state_.lint_levels[pin];
  state_.lint_levels[pin] = active;
  if (rises && !remote_) lint_rises(pin);
  update();
}

void LocalApic::restore_irq(unsigned input, bool active) {
  state_.lint_levels[input & 1] = active;
  drive_line();
}

}  // namespace emu
