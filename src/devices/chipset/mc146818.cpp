// SPDX-License-Identifier: Apache-2.0
#include "devices/chipset/mc146818.h"

#include <algorithm>

namespace emu {
namespace {

enum Register : u8 {
  kSeconds = 0x00,
  kSecondsAlarm = 0x01,
  kMinutes = 0x02,
  kMinutesAlarm = 0x03,
  kHours = 0x04,
  kHoursAlarm = 0x05,
  kWeekday = 0x06,
  kDay = 0x07,
  kMonth = 0x08,
  kYear = 0x09,
  kA = 0x0a,
  kB = 0x0b,
  kC = 0x0c,
  kD = 0x0d,
  kCentury = 0x32,
};

constexpr u8 kAUpdateInProgress = 0x80;
constexpr u8 kADivider = 0x70;
constexpr u8 kARate = 0x0f;
constexpr u8 kADividerRuns = 0x20;   // 32768 Hz time base
constexpr u8 kADividerReset = 0x60;  // 11x holds the chain in reset
constexpr u8 kBSet = 0x80;
constexpr u8 kBPeriodic = 0x40;
constexpr u8 kBAlarm = 0x20;
constexpr u8 kBUpdateEnded = 0x10;
constexpr u8 kBInterrupts = kBPeriodic | kBAlarm | kBUpdateEnded;
constexpr u8 kBSquareWave = 0x08;
constexpr u8 kBBinary = 0x04;
constexpr u8 kB24Hours = 0x02;
constexpr u8 kCRequest = 0x80;
constexpr u8 kDValid = 0x80;
constexpr u8 kPm = 0x80;
constexpr u8 kAnyTime = 0xc0;  // alarm registers: both bits set match everything

constexpr Frequency kDividerHz{32'768, 1};
constexpr i64 kSecondsPerDay = 86'400;
// UIP rises 244 us before an update of 1984 us (data sheet, table 6 for 32768 Hz).
constexpr u64 kUpdateNs = 244'000 + 1'984'000;
// The first update comes half a second after the divider starts.
constexpr u64 kFirstUpdateNs = kNsPerSecond / 2;

}  // namespace

Mc146818::Mc146818(IrqLine irq, Clock& clock, const WallClock& wall_clock)
    : irq_(irq), clock_(clock) {
  timer_ = clock_.create_timer([this] {
    catch_up();
    settle();
  });
  bank_[kA] = kADividerRuns | 6;  // what PC firmware leaves: 1024 Hz
  bank_[kB] = kB24Hours;
  bank_[kD] = kDValid;
  updated_at_ns_ = divider_base_ns_ = clock_.now_ns();
  set_time(wall_clock());
}

void Mc146818::reset() {
  catch_up();
  index_ = extended_index_ = 0;
  bank_[kB] &= static_cast<u8>(~(kBInterrupts | kBSquareWave));
  bank_[kC] = 0;
  settle();
}

void Mc146818::set_cmos(u8 index, u8 value) {
  (index < kBankBytes ? bank_[index] : extended_[index - kBankBytes]) = value;
}

u8 Mc146818::cmos(u8 index) const {
  return index < kBankBytes ? bank_[index] : extended_[index - kBankBytes];
}

void Mc146818::set_time(i64 seconds) {
  catch_up();
  set_registers(calendar_from_seconds(seconds));
}

CalendarTime Mc146818::time() {
  catch_up();
  return registers();
}

// --- Data modes ---

u8 Mc146818::encode(u32 value) const {
  if ((bank_[kB] & kBBinary) != 0) return static_cast<u8>(value);
  return static_cast<u8>(value / 10 % 10 << 4 | value % 10);
}

u32 Mc146818::decode(u8 value) const {
  if ((bank_[kB] & kBBinary) != 0) return value;
  return (u32{value} >> 4) * 10 + (value & 15);
}

u8 Mc146818::encode_hour(u32 hour) const {
  if ((bank_[kB] & kB24Hours) != 0) return encode(hour);
  const u8 twelve = encode(hour % 12 == 0 ? 12 : hour % 12);
  return static_cast<u8>(twelve | (hour >= 12 ? kPm : 0));
}

u32 Mc146818::decode_hour(u8 value) const {
  if ((bank_[kB] & kB24Hours) != 0) return decode(value);
  const u32 hour = decode(value & 0x7f) % 12;
  return (value & kPm) != 0 ? hour + 12 : hour;
}

CalendarTime Mc146818::registers() const {
  CalendarTime time;
  time.second = decode(bank_[kSeconds]);
  time.minute = decode(bank_[kMinutes]);
  time.hour = decode_hour(bank_[kHours]);
  time.weekday = decode(bank_[kWeekday]);
  time.day = decode(bank_[kDay]);
  time.month = decode(bank_[kMonth]);
  time.year = static_cast<i32>(decode(bank_[kYear]) + 100 * decode(bank_[kCentury]));
  return time;
}

void Mc146818::set_registers(const CalendarTime& time) {
  bank_[kSeconds] = encode(time.second);
  bank_[kMinutes] = encode(time.minute);
  bank_[kHours] = encode_hour(time.hour);
  bank_[kWeekday] = encode(time.weekday);
  bank_[kDay] = encode(time.day);
  bank_[kMonth] = encode(time.month);
  bank_[kYear] = encode(static_cast<u32>(time.year) % 100);
  bank_[kCentury] = encode(static_cast<u32>(time.year) / 100);
}

// --- Time ---

bool Mc146818::divider_runs() const {
  return (bank_[kA] & kADivider) == kADividerRuns;
}

bool Mc146818::updates() const {
  return divider_runs() && (bank_[kB] & kBSet) == 0;
}

u64 Mc146818::since_update_ns() const {
  const u64 now = clock_.now_ns();
  return now > updated_at_ns_ ? now - updated_at_ns_ : 0;
}

bool Mc146818::update_in_progress() const {
  return updates() && since_update_ns() % kNsPerSecond >= kNsPerSecond - kUpdateNs;
}

void Mc146818::catch_up() {
  catch_up_seconds();
  catch_up_periodic();
}

// Applies the update cycles since the last call.
void Mc146818::catch_up_seconds() {
  const u64 seconds = since_update_ns() / kNsPerSecond;
  if (seconds == 0 || !divider_runs()) return;
  updated_at_ns_ += seconds * kNsPerSecond;
  if (!updates()) return;
  const i64 before = seconds_from_calendar(registers());
  const i64 after = before + static_cast<i64>(seconds);
  set_registers(calendar_from_seconds(after));
  bank_[kC] |= kBUpdateEnded;
  if (alarm_within(before + 1, after)) bank_[kC] |= kBAlarm;
}

// Whether any second of [first, last] matches the alarm registers. The bounds may lie far apart;
// the pattern repeats daily.
bool Mc146818::alarm_within(i64 first_second, i64 last_second) const {
  const auto matches = [](u8 alarm, u32 wanted, u32 now) {
    return (alarm & kAnyTime) == kAnyTime || wanted == now;
  };
  last_second = std::min(last_second, first_second + kSecondsPerDay - 1);
  for (i64 s = first_second; s <= last_second; ++s) {
    const u32 in_day = static_cast<u32>((s % kSecondsPerDay + kSecondsPerDay) % kSecondsPerDay);
    if (matches(bank_[kSecondsAlarm], decode(bank_[kSecondsAlarm]), in_day % 60) &&
        matches(bank_[kMinutesAlarm], decode(bank_[kMinutesAlarm]), in_day / 60 % 60) &&
        matches(bank_[kHoursAlarm], decode_hour(bank_[kHoursAlarm]), in_day / 3600)) {
      return true;
    }
  }
  return false;
}

// The periodic interrupt's interval in 32768 Hz ticks, or 0 (data sheet, table 5).
u64 Mc146818::period_ticks() const {
  const unsigned rate = bank_[kA] & kARate;
  if (rate == 0 || !divider_runs()) return 0;
  return u64{1} << (rate < 3 ? rate + 6 : rate - 1);
}

u64 Mc146818::divider_ticks() const {
  const u64 now = clock_.now_ns();
  return kDividerHz.ticks_at(now > divider_base_ns_ ? now - divider_base_ns_ : 0);
}

void Mc146818::catch_up_periodic() {
  const u64 period = period_ticks();
  const u64 now = divider_ticks();
  if (period != 0 && now / period > periodic_seen_ticks_ / period) bank_[kC] |= kBPeriodic;
  periodic_seen_ticks_ = now;
}

// --- Interrupts ---

bool Mc146818::interrupting() const {
  return (bank_[kB] & bank_[kC] & kBInterrupts) != 0;
}

// When something that interrupts can next happen; kNever if nothing can before a register access.
u64 Mc146818::next_deadline_ns() const {
  u64 deadline = kNever;
  const u8 wanted = static_cast<u8>(bank_[kB] & ~bank_[kC]);
  if (updates() && (wanted & (kBAlarm | kBUpdateEnded)) != 0) {
    deadline = clock_.now_ns() + kNsPerSecond - since_update_ns() % kNsPerSecond;
  }
  const u64 period = period_ticks();
  if (period != 0 && (wanted & kBPeriodic) != 0) {
    const u64 next = (divider_ticks() / period + 1) * period;
    deadline = std::min(deadline, divider_base_ns_ + kDividerHz.ns_at(next));
  }
  return deadline;
}

// After every change: the interrupt wire and the alarm clock.
void Mc146818::settle() {
  irq_.set(interrupting());
  timer_->arm(next_deadline_ns());
}

// --- Registers ---

u8 Mc146818::read_c() {
  const u8 flags = bank_[kC];
  const u8 value = interrupting() ? static_cast<u8>(flags | kCRequest) : flags;
  bank_[kC] = 0;
  settle();
  return value;
}

u8 Mc146818::read_register(u8 index) {
  catch_up();
  switch (index) {
    case kA:
      return static_cast<u8>(bank_[kA] | (update_in_progress() ? kAUpdateInProgress : 0));
    case kC:
      return read_c();
    case kD:
      return kDValid;
    default:
      return bank_[index];
  }
}

void Mc146818::write_a(u8 value) {
  const bool was_reset = (bank_[kA] & kADividerReset) == kADividerReset;
  const bool did_run = divider_runs();
  bank_[kA] = value & static_cast<u8>(~kAUpdateInProgress);
  if (did_run || !divider_runs()) return;
  const u64 now = clock_.now_ns();
  divider_base_ns_ = now;
  periodic_seen_ticks_ = 0;
  updated_at_ns_ = now;
  // Half a second is already behind us, so to speak; only at power-on there is no earlier time.
  if (was_reset && now >= kFirstUpdateNs) updated_at_ns_ = now - kFirstUpdateNs;
}

void Mc146818::write_b(u8 value) {
  const bool sets = (value & kBSet) != 0;
  // SET also takes the update-ended interrupt enable back.
  bank_[kB] = sets ? value & static_cast<u8>(~kBUpdateEnded) : value;
}

void Mc146818::write_register(u8 index, u8 value) {
  catch_up();
  switch (index) {
    case kA:
      write_a(value);
      break;
    case kB:
      write_b(value);
      break;
    case kC:
    case kD:
      return;
    default:
      bank_[index] = value;
      return;
  }
  settle();
}

u64 Mc146818::read(u64 offset, unsigned) {
  switch (offset) {
    case 1:
      return read_register(index_);
    case 2:
      return extended_index_;
    case 3:
      return extended_[extended_index_];
    default:  // the index register cannot be read
      return 0xff;
  }
}

void Mc146818::write(u64 offset, unsigned, u64 value) {
  const u8 byte = static_cast<u8>(value);
  switch (offset) {
    case 0:  // bit 7 masks NMI
      index_ = byte & 0x7f;
      break;
    case 1:
      write_register(index_, byte);
      break;
    case 2:
      extended_index_ = byte & 0x7f;
      break;
    default:
      extended_[extended_index_] = byte;
      break;
  }
}

void Mc146818::transfer(StateIo& io) {
  io.section(name(), 1, [&] {
    io.field(1, "index", index_);
    io.field(2, "extended_index", extended_index_);
    io.field(3, "bank", bank_);
    io.field(4, "extended", extended_);
    io.field(5, "updated_at_ns", updated_at_ns_);
    io.field(6, "divider_base_ns", divider_base_ns_);
    io.field(7, "periodic_seen_ticks", periodic_seen_ticks_);
    io.check(index_ < kBankBytes && extended_index_ < kBankBytes, "an index is too great");
  });
}

void Mc146818::resumed() {
  // A snapshot from nowhere may claim moments that have not come yet.
  updated_at_ns_ = std::min(updated_at_ns_, clock_.now_ns());
  divider_base_ns_ = std::min(divider_base_ns_, clock_.now_ns());
  irq_.restore(interrupting());
  timer_->arm(next_deadline_ns());
}

}  // namespace emu
