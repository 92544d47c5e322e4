// SPDX-License-Identifier: Apache-2.0
// The local APIC's registers: window, MSRs, reset and saved state. Interrupts and timer have files
// of their own.
#include "devices/chipset/local_apic.h"

#include "base/bits.h"

namespace emu {
namespace {

using namespace lapic;

constexpr u32 kLvtExtInt = static_cast<u32>(DeliveryMode::kExtInt) << 8;

constexpr u8 read_access(bool x2apic) {
  return x2apic ? kX2apicRead : kXapicRead;
}
constexpr u8 write_access(bool x2apic) {
  return x2apic ? kX2apicWrite : kXapicWrite;
}

}  // namespace

LocalApic::LocalApic(const Wires& wires, u32 id, bool boot)
    : bus_(wires.bus),
      cpu_(wires.cpu),
      clock_(wires.clock),
      tsc_(wires.tsc),
      id_(id),
      boot_(boot),
      name_(fmt::format("lapic{}", id)),
      timer_(wires.clock.create_timer([this] { timer_fired(); })) {
  state_.base = kBaseDefault | kBaseEnable | (boot_ ? kBaseBsp : 0);
  reset_registers();
  bus_.attach(*this);
}

LocalApic::~LocalApic() {
  bus_.detach(*this);
}

void LocalApic::reset() {
  state_.base = kBaseDefault | kBaseEnable | (boot_ ? kBaseBsp : 0);
  reset_registers();
  drive_line();
}

void LocalApic::set_remote(bool remote) {
  remote_ = remote;
  timer_->arm(remote ? kNever : state_.timer_deadline_ns);
  drive_line();
}

// 11.4.7.1 and 11.4.7.3. Firmware of PCs expects the boot processor's LINT0 to pass the 8259
// through before it programs the APIC (MultiProcessor Specification 1.4, 3.6.2.2).
void LocalApic::reset_registers() {
  for (unsigned i = 0; i < kRegisterCount; ++i) reg(i) = kRegisters[i].reset;
  if (boot_) reg(kLvtLint0) = kLvtExtInt;
  state_.tsc_deadline = 0;
  state_.timer_start_ns = 0;
  state_.pending_errors = 0;
  update_ids();
  arm(kNever);
}

// In x2APIC mode the logical id follows from the id (11.12.10.2).
void LocalApic::update_ids() {
  reg(kId) = x2apic() ? id_ : id_ << 24;
  if (x2apic()) reg(kLdr) = (id_ >> 4) << 16 | 1u << (id_ & 0xf);
}

u32 LocalApic::read_register(unsigned index) const {
  switch (index) {
    case kApr:
    case kPpr:
      return processor_priority();
    case kTimerCurrent:
      return current_count();
    default:
      return reg(index);
  }
}

void LocalApic::write_register(unsigned index, u32 value) {
  switch (index) {
    case kTpr:
      reg(kTpr) = value;
      return update();
    case kEoi:
      return end_of_interrupt();
    case kDfr:
      reg(kDfr) = value | ~kRegisters[kDfr].writable;
      return;
    case kSvr:
      return write_spurious(value);
    case kEsr:
      reg(kEsr) = state_.pending_errors;
      state_.pending_errors = 0;
      return;
    case kIcr:
      reg(kIcr) = value;
      return send_ipi(value, x2apic() ? reg(kIcrHigh) : reg(kIcrHigh) >> 24);
    case kTimerInitial:
      return start_timer(value);
    case kTimerDivide:
      return write_divide(value);
    case kSelfIpi:
      return send_ipi(1u << 18 | value, 0);
    case kLvtCmci:
    case kLvtTimer:
    case kLvtThermal:
    case kLvtPerformance:
    case kLvtLint0:
    case kLvtLint1:
    case kLvtError:
      return write_lvt(index, value);
    default:
      reg(index) = value;
  }
}

// Disabling by software masks all local vectors (11.4.7.2).
void LocalApic::write_spurious(u32 value) {
  reg(kSvr) = value;
  if (!software_enabled()) {
    for (const Register lvt : kLvts) reg(lvt) |= kLvtMasked;
  }
  update();
}

void LocalApic::write_lvt(unsigned index, u32 value) {
  if (!software_enabled()) value |= kLvtMasked;
  const u32 old_mode = timer_mode();
  reg(index) = value;
  if (timer_mode() != old_mode) change_timer_mode(old_mode);
  if (index == kLvtLint0) update();
}

u64 LocalApic::read(u64 offset, unsigned size) {
  if (!xapic()) return byte_mask(size);
  const unsigned index = static_cast<unsigned>(offset >> 4);
  if (index >= kRegisterCount || (kRegisters[index].access & kXapicRead) == 0) {
    raise_error(kErrorIllegalRegister);
    return 0;
  }
  return (offset & 0xf) == 0 ? read_register(index) : 0;
}

void LocalApic::write(u64 offset, unsigned, u64 value) {
  if (!xapic()) return;
  const unsigned index = static_cast<unsigned>(offset >> 4);
  if (index >= kRegisterCount || (kRegisters[index].access & kXapicWrite) == 0) {
    return raise_error(kErrorIllegalRegister);
  }
  if ((offset & 0xf) != 0) return;
  write_register(index, static_cast<u32>(value) & kRegisters[index].writable);
}

std::optional<u64> LocalApic::read_msr(u32 index) {
  if (index == kMsrBase) return state_.base;
  if (index == kMsrTscDeadline) return state_.tsc_deadline;
  const u32 number = index - kMsrX2apicFirst;
  if (!x2apic() || number >= kRegisterCount) return std::nullopt;
  if ((kRegisters[number].access & read_access(true)) == 0) return std::nullopt;
  if (number == kIcr) return u64{reg(kIcrHigh)} << 32 | reg(kIcr);
  return read_register(number);
}

bool LocalApic::write_msr(u32 index, u64 value) {
  if (index == kMsrBase) return write_base(value);
  if (index == kMsrTscDeadline) {
    write_tsc_deadline(value);
    return true;
  }
  const u32 number = index - kMsrX2apicFirst;
  return x2apic() && number < kRegisterCount && write_x2apic(number, value);
}

bool LocalApic::write_x2apic(unsigned index, u64 value) {
  const RegisterSpec& spec = kRegisters[index];
  if ((spec.access & write_access(true)) == 0) return false;
  const u64 writable = index == kIcr ? u64{0xffffffff} << 32 | spec.writable : spec.writable;
  // The LVTs' delivery status and remote IRR are read-only, not reserved: Linux writes them back.
  const bool lvt = index == kLvtCmci || (index >= kLvtTimer && index <= kLvtError);
  const u64 read_only = lvt ? 1u << 12 | 1u << 14 : 0;
  if ((value & ~(writable | read_only)) != 0) return false;
  if (index == kIcr) reg(kIcrHigh) = static_cast<u32>(value >> 32);
  write_register(index, static_cast<u32>(value & writable));
  return true;
}

// The legal steps are disabled <-> xAPIC -> x2APIC -> disabled (figure 11-27).
bool LocalApic::write_base(u64 value) {
  constexpr u64 kModes = kBaseEnable | kBaseX2apic;
  if ((value & ~(kBaseBsp | kModes | kBaseAddress)) != 0) return false;
  const u64 from = state_.base & kModes, to = value & kModes;
  if (to == kBaseX2apic) return false;
  if (from == kModes && to == kBaseEnable) return false;
  if (from == 0 && to == kModes) return false;
  state_.base = (value & ~kBaseBsp) | (state_.base & kBaseBsp);
  if (from != 0 && to == 0) reset_registers();
  if (from != to) update_ids();
  update();
  return true;
}

void LocalApic::transfer(StateIo& io) {
  io.section(name(), 1, [&] {
    io.field(1, "base", state_.base);
    io.field(2, "registers", state_.registers);
    io.field(3, "tsc_deadline", state_.tsc_deadline);
    io.field(4, "timer_start_ns", state_.timer_start_ns);
    io.field(5, "timer_deadline_ns", state_.timer_deadline_ns);
    io.field(6, "pending_errors", state_.pending_errors);
    io.field(7, "LINT0", state_.lint_levels[0]);
    io.field(8, "LINT1", state_.lint_levels[1]);
  });
  if (io.loading()) sanitize();
}

void LocalApic::set_state(const LocalApicState& state) {
  state_ = state;
  sanitize();
}

// Registers keep what hardware could hold; computed ones are not taken from outside.
void LocalApic::sanitize() {
  state_.base &= kBaseAddress | kBaseEnable | kBaseX2apic;
  if (!enabled()) state_.base &= ~kBaseX2apic;
  if (boot_) state_.base |= kBaseBsp;
  for (unsigned i = 0; i < kRegisterCount; ++i) {
    const bool vectors = i >= kIsr && i < kIrr + 8;
    const bool wide = vectors || i == kEsr || (i == kIcrHigh && x2apic());
    const u32 mask = wide ? 0xffffffff : kRegisters[i].writable;
    reg(i) = (reg(i) & mask) | (kRegisters[i].reset & ~mask);
  }
  reg(kIsr) &= 0xffff0000;
  reg(kIrr) &= 0xffff0000;
  reg(kEsr) &= 0xff;
  state_.pending_errors &= 0xff;
  update_ids();
}

void LocalApic::resumed() {
  timer_->arm(remote_ ? kNever : state_.timer_deadline_ns);
  drive_line();
}

}  // namespace emu
