// SPDX-License-Identifier: Apache-2.0
// Interrupt and exception delivery in every mode, with double-fault escalation and shutdown.
// Source: Intel SDM vol. 3 ch. 6, 17.2, 20.1, 20.3; vol. 2 INT n.
#pragma once

#include "cpu/cpu_core.h"

namespace emu {

enum class EventKind : u8 {
  kExternal,           // INTR, or an IPI: an acknowledged vector
  kNmi,                // vector 2; blocks further ones until IRET
  kException,          // what a Fault describes
  kSoftwareInterrupt,  // INT n: gate DPL, IOPL in virtual-8086 mode, VME redirection
  kSoftwareException,  // INT3, INTO: gate DPL
  kIcebp,              // INT1 (F1h): no DPL check
};

// Something to deliver. `state.rip` is the instruction's offset (the next one for external events
// and traps); software events also say where the handler returns to.
struct Event {
  u8 vector = 0;
  EventKind kind = EventKind::kExternal;
  bool has_error_code = false;
  bool resume = false;  // push RF set: between iterations of a repeated string instruction
  u32 error_code = 0;
  u64 address = 0;   // CR2 of a #PF, DR6 bits of a #DB
  u64 next_rip = 0;  // software kinds only
};

enum class DeliveryResult : u8 {
  kDelivered,  // the state is at a handler's first instruction
  kShutdown,   // triple fault: activity is kShutdown, the rest as before the first event
};

// Delivers `event`; faults met on the way become #DF or a triple fault by SDM vol. 3 table 6-5.
// Never fails otherwise. Clears the interrupt shadow and wakes a halted processor. A single-step
// or breakpoint #DB is an exception whose `address` holds the DR6 bits.
DeliveryResult deliver(CpuCore& core, const Event& event) noexcept;

// deliver() for the common cases.
DeliveryResult deliver_fault(CpuCore& core, const Fault& fault) noexcept;
DeliveryResult deliver_interrupt(CpuCore& core, u8 vector, bool resume) noexcept;
DeliveryResult deliver_nmi(CpuCore& core, bool resume) noexcept;
// INT n, INT3, INTO, INT1. `kind` says which; `next_rip` is the following instruction.
DeliveryResult deliver_software(CpuCore& core, u8 vector, EventKind kind, u64 next_rip) noexcept;

// Whether an unmaskable (by shadow or IF) external interrupt may be delivered now: IF set, no
// shadow, in the state as it stands.
[[nodiscard]] constexpr bool can_take_interrupt(const CpuState& state) {
  return (state.rflags & kFlagIf) != 0 && !state.interrupt_shadow;
}

}  // namespace emu
