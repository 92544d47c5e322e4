// SPDX-License-Identifier: Apache-2.0
#include "devices/chipset/acpi_pm.h"

#include "base/log.h"

namespace emu {
namespace {

enum Register : u64 {
  kPm1Status = 0x00,
  kPm1Enable = 0x02,
  kPm1Control = 0x04,
  kTimerLow = 0x08,
  kTimerHigh = 0x0a,
  kGpe0Status = 0x0c,
  kGpe0Enable = 0x0e,
};

// PM1 status and enable bits (ACPI 6.4, tables 4.11 and 4.12).
constexpr u16 kTimerEvent = 1 << 0;
constexpr u16 kGlobalEvent = 1 << 5;
constexpr u16 kPowerButtonEvent = 1 << 8;
constexpr u16 kRtcEvent = 1 << 10;
constexpr u16 kWakeStatus = 1 << 15;
constexpr u16 kEnables = kTimerEvent | kGlobalEvent | kPowerButtonEvent | kRtcEvent;
constexpr u16 kStatuses = kEnables | 1 << 4 | kWakeStatus;

// PM1 control bits (table 4.13).
constexpr u16 kSciEnable = 1 << 0;
constexpr u16 kBusMasterReload = 1 << 1;
constexpr u16 kGlobalRelease = 1 << 2;  // write-only
constexpr unsigned kSleepTypeShift = 10;
constexpr u16 kSleepType = 7 << kSleepTypeShift;
constexpr u16 kSleepEnable = 1 << 13;  // write-only

constexpr unsigned kTimerBits = 24;
constexpr u64 kTimerMask = (u64{1} << kTimerBits) - 1;
constexpr u64 kHalfCycle = u64{1} << (kTimerBits - 1);

u16 merge(u16 old, u16 mask, u16 value) {
  return static_cast<u16>((old & ~mask) | (value & mask));
}

u16 without(u16 bits, u16 removed) {
  return static_cast<u16>(bits & ~removed);
}

}  // namespace

AcpiPm::AcpiPm(IrqLine sci, Clock& clock, std::function<void()> request_power_off)
    : sci_(sci), clock_(clock), request_power_off_(std::move(request_power_off)) {
  overflow_timer_ = clock_.create_timer([this] {
    catch_up_timer();
    settle();
  });
  reset();
}

void AcpiPm::reset() {
  status_ = enable_ = control_ = 0;
  gpe_status_ = gpe_enable_ = 0;
  seen_half_cycles_ = timer_ticks() / kHalfCycle;
  settle();
}

u64 AcpiPm::timer_ticks() const {
  return kAcpiPmFrequency.ticks_at(clock_.now_ns());
}

// TMR_STS is set whenever the timer's highest bit changes (4.8.3.1.1).
void AcpiPm::catch_up_timer() {
  const u64 now = timer_ticks() / kHalfCycle;
  if (now > seen_half_cycles_) status_ |= kTimerEvent;
  seen_half_cycles_ = now;
}

bool AcpiPm::sci_active() const {
  if ((control_ & kSciEnable) == 0) return false;
  return (status_ & enable_ & kEnables) != 0 || (gpe_status_ & gpe_enable_) != 0;
}

u64 AcpiPm::next_overflow_ns() const {
  if ((enable_ & ~status_ & kTimerEvent) == 0) return kNever;
  return kAcpiPmFrequency.ns_at((timer_ticks() / kHalfCycle + 1) * kHalfCycle);
}

void AcpiPm::settle() {
  sci_.set(sci_active());
  overflow_timer_->arm(next_overflow_ns());
}

void AcpiPm::smi_command(u8 command) {
  if (command == kEnableCommand) control_ |= kSciEnable;
  if (command == kDisableCommand) control_ = without(control_, kSciEnable);
  settle();
}

void AcpiPm::press_power_button() {
  status_ |= kPowerButtonEvent;
  settle();
}

bool AcpiPm::hears_power_button() const {
  return (control_ & kSciEnable) != 0 && (enable_ & kPowerButtonEvent) != 0;
}

void AcpiPm::raise_gpe(unsigned event) {
  gpe_status_ = static_cast<u16>(gpe_status_ | 1u << (event & 15));
  settle();
}

u16 AcpiPm::read16(u64 offset) {
  switch (offset) {
    case kPm1Status:
      catch_up_timer();
      return status_;
    case kPm1Enable:
      return enable_;
    case kPm1Control:
      return control_;
    case kTimerLow:
      return static_cast<u16>(timer_ticks());
    case kTimerHigh:
      return static_cast<u16>((timer_ticks() & kTimerMask) >> 16);
    case kGpe0Status:
      return gpe_status_;
    case kGpe0Enable:
      return gpe_enable_;
    default:
      return 0;
  }
}

u64 AcpiPm::read(u64 offset, unsigned size) {
  const u64 low = read16(offset & ~u64{1});
  if (size == 4) return low | u64{read16(offset + 2)} << 16;
  return size == 2 ? low : low >> (offset % 2 * 8) & 0xff;
}

void AcpiPm::write_control(u16 value) {
  control_ = value & (kSciEnable | kBusMasterReload | kSleepType);
  if ((value & kGlobalRelease) != 0) log(LogLevel::kDebug, "acpi", "GBL_RLS: no one listens");
  if ((value & kSleepEnable) == 0) return;
  const u8 type = static_cast<u8>((value & kSleepType) >> kSleepTypeShift);
  if (type == kSleepTypeOff || type == kSleepTypeHibernate) return request_power_off_();
  // A sleep state that no table offers: awake again at once.
  status_ |= kWakeStatus;
}

void AcpiPm::write16(u64 offset, u16 mask, u16 value) {
  switch (offset) {
    case kPm1Status:
      catch_up_timer();
      status_ = without(status_, value & mask & kStatuses);
      break;
    case kPm1Enable:
      catch_up_timer();
      enable_ = merge(enable_, mask, value) & kEnables;
      break;
    case kPm1Control:
      write_control(merge(control_, mask, value));
      break;
    case kGpe0Status:
      gpe_status_ = without(gpe_status_, value & mask);
      break;
    case kGpe0Enable:
      gpe_enable_ = merge(gpe_enable_, mask, value);
      break;
    default:
      return;
  }
  settle();
}

void AcpiPm::write(u64 offset, unsigned size, u64 value) {
  if (size == 1) {
    const unsigned shift = offset % 2 * 8;
    return write16(offset & ~u64{1}, static_cast<u16>(0xff << shift),
                   static_cast<u16>(value << shift));
  }
  write16(offset, 0xffff, static_cast<u16>(value));
  if (size == 4) write16(offset + 2, 0xffff, static_cast<u16>(value >> 16));
}

void AcpiPm::transfer(StateIo& io) {
  io.section(name(), 1, [&] {
    io.field(1, "PM1_STS", status_);
    io.field(2, "PM1_EN", enable_);
    io.field(3, "PM1_CNT", control_);
    io.field(4, "GPE0_STS", gpe_status_);
    io.field(5, "GPE0_EN", gpe_enable_);
    io.field(6, "seen_half_cycles", seen_half_cycles_);
  });
}

void AcpiPm::resumed() {
  sci_.restore(sci_active());
  overflow_timer_->arm(next_overflow_ns());
}

}  // namespace emu
