// SPDX-License-Identifier: Apache-2.0
#include "devices/chipset/hpet.h"

#include <algorithm>

#include "base/bits.h"

namespace emu {
namespace {

// Register offsets (chapter 2.3). Comparator n's block is at 100h + 20h * n.
enum Register : u64 {
  kCapabilities = 0x000,
  kConfig = 0x010,
  kStatus = 0x020,
  kCounter = 0x0f0,
  kComparators = 0x100,
};
constexpr u64 kComparatorStride = 0x20;
constexpr u64 kComparatorConfig = 0x00, kComparatorValue = 0x08, kComparatorFsb = 0x10;

constexpr u64 kPeriodFs = 10'000'000;
static_assert(kPeriodFs * kHpetFrequency.numerator_hz == 1'000'000'000'000'000);
constexpr u64 kRevision = 1;
constexpr u64 kCapabilitiesValue =
    kPeriodFs << 32 | u64{0x8086} << 16 | 1 << 15 | 1 << 13 | (Hpet::kTimers - 1) << 8 | kRevision;

constexpr u64 kConfigEnable = 1 << 0;
constexpr u64 kConfigLegacy = 1 << 1;

constexpr u64 kTimerLevel = 1 << 1;
constexpr u64 kTimerInterrupts = 1 << 2;
constexpr u64 kTimerPeriodic = 1 << 3;
constexpr u64 kTimerPeriodicCapable = 1 << 4;
constexpr u64 kTimer64BitCapable = 1 << 5;
constexpr u64 kTimerSetsValue = 1 << 6;
constexpr u64 kTimer32Bit = 1 << 8;
constexpr unsigned kTimerRouteShift = 9;
constexpr u64 kTimerRoute = u64{0x1f} << kTimerRouteShift;
constexpr u64 kTimerFsb = 1 << 14;
constexpr u64 kTimerFsbCapable = 1 << 15;
constexpr u64 kTimerWritable = kTimerLevel | kTimerInterrupts | kTimerPeriodic | kTimerSetsValue |
                               kTimer32Bit | kTimerRoute | kTimerFsb;

// As with the 8254: a late host delivers missed periods one by one up to a quarter of a second, and
// never faster than the gap.
constexpr u64 kMaxBehindTicks = kHpetFrequency.numerator_hz / 4;
constexpr u64 kMinGapNs = 20'000;

u64 merge(u64 old, u64 mask, u64 value) {
  return (old & ~mask) | (value & mask);
}

}  // namespace

Hpet::Hpet(Wires wires, Clock& clock) : wires_(wires), clock_(clock) {
  for (unsigned i = 0; i < kTimers; ++i) {
    timers_[i] = clock_.create_timer([this, i] { timer_fired(i); });
  }
  reset();
}

void Hpet::reset() {
  config_ = 0;
  status_ = 0;
  set_counter(0);
  for (Comparator& c : comparators_) {
    c = Comparator{};
    c.value = ~u64{0};
  }
  schedule_all();
  drive_lines();
}

bool Hpet::runs() const {
  return (config_ & kConfigEnable) != 0;
}
bool Hpet::legacy() const {
  return (config_ & kConfigLegacy) != 0;
}
bool Hpet::is_32_bit(const Comparator& c) {
  return (c.config & kTimer32Bit) != 0;
}
bool Hpet::is_periodic(const Comparator& c) {
  return (c.config & kTimerPeriodic) != 0 && c.period != 0;
}
bool Hpet::is_level(const Comparator& c) {
  return (c.config & (kTimerLevel | kTimerFsb)) == kTimerLevel;
}

u64 Hpet::counter() const {
  if (!runs()) return counter_base_;
  return counter_base_ + kHpetFrequency.ticks_at(clock_.now_ns()) - ticks_base_;
}

void Hpet::set_counter(u64 value) {
  counter_base_ = value;
  ticks_base_ = kHpetFrequency.ticks_at(clock_.now_ns());
}

// --- Matches ---

// Finds comparator `index`'s next match from the counter's present value.
void Hpet::schedule(unsigned index) {
  Comparator& c = comparators_[index];
  const u64 now = counter();
  const u64 mask = is_32_bit(c) ? low_mask(32) : ~u64{0};
  const u64 distance = (c.value - now) & mask;
  c.match_at = runs() && distance <= kNever - now ? now + distance : kNever;
  arm(index, 0);
}

void Hpet::schedule_all() {
  for (unsigned i = 0; i < kTimers; ++i) schedule(i);
}

// Moves a comparator past its match, and past all others up to `count`.
void Hpet::step_past(Comparator& c, u64 count) const {
  u64 step = is_32_bit(c) ? u64{1} << 32 : 0;
  if (is_periodic(c)) {
    step = c.period;
    const u64 matches = 1 + (count > c.match_at ? (count - c.match_at) / step : 0);
    c.value += matches * step;
    if (is_32_bit(c)) c.value &= low_mask(32);
    c.match_at += matches * step;
    return;
  }
  c.match_at = step != 0 && c.match_at < kNever - step ? c.match_at + step : kNever;
}

// Not before `earliest_ns`.
void Hpet::arm(unsigned index, u64 earliest_ns) {
  const Comparator& c = comparators_[index];
  Timer& timer = *timers_[index];
  // 2^63 ticks are thousands of years.
  const u64 ticks = c.match_at - counter_base_;
  const bool near = c.match_at != kNever && c.match_at >= counter_base_ && !bit(ticks, 63);
  if (!runs() || (c.config & kTimerInterrupts) == 0 || !near) return timer.cancel();
  timer.arm(std::max(kHpetFrequency.ns_at(ticks + ticks_base_), earliest_ns));
}

void Hpet::timer_fired(unsigned index) {
  Comparator& c = comparators_[index];
  const u64 now = counter();
  if (c.match_at <= now) {
    const bool far_behind = now - c.match_at > kMaxBehindTicks;
    step_past(c, far_behind ? now : c.match_at);
    interrupt(index);
  }
  arm(index, clock_.now_ns() + kMinGapNs);
}

// --- Interrupts ---

IrqLine* Hpet::line(unsigned index) {
  const Comparator& c = comparators_[index];
  if (legacy() && index == 0) return &wires_.irq0;
  if (legacy() && index == 1) return &wires_.irq8;
  const u64 route = bits(c.config, kTimerRouteShift, 5);
  return bit(wires_.route_mask, static_cast<unsigned>(route)) ? &wires_.routes[route] : nullptr;
}

bool Hpet::line_active(unsigned index) const {
  const Comparator& c = comparators_[index];
  return is_level(c) && (c.config & kTimerInterrupts) != 0 && bit(status_, index);
}

void Hpet::interrupt(unsigned index) {
  const Comparator& c = comparators_[index];
  if ((c.config & kTimerInterrupts) == 0) return;
  if ((c.config & kTimerFsb) != 0) {
    if (wires_.msi != nullptr) {
      wires_.msi->send_msi(c.fsb_route >> 32, static_cast<u32>(c.fsb_route));
    }
    return;
  }
  IrqLine* const wire = line(index);
  if (is_level(c)) {
    status_ |= u64{1} << index;
    if (wire != nullptr) wire->set(true);
  } else if (wire != nullptr) {
    wire->pulse();
  }
}

// Brings all wires to their levels after a change of configuration.
void Hpet::drive_lines() {
  if (legacy_) legacy_(legacy());
  u32 active = 0;
  bool irq0 = !legacy() && pit_level_;
  bool irq8 = !legacy() && rtc_level_;
  for (unsigned i = 0; i < kTimers; ++i) {
    if (!line_active(i)) continue;
    const IrqLine* const wire = line(i);
    irq0 |= wire == &wires_.irq0;
    irq8 |= wire == &wires_.irq8;
    if (wire >= wires_.routes.begin() && wire < wires_.routes.end()) {
      active |= 1u << (wire - wires_.routes.begin());
    }
  }
  wires_.irq0.set(irq0);
  wires_.irq8.set(irq8);
  for (unsigned n = 0; n < wires_.routes.size(); ++n) {
    if (bit(wires_.route_mask, n)) wires_.routes[n].set(bit(active, n));
  }
}

void Hpet::set_irq(unsigned input, bool active) {
  (input == kPitInput ? pit_level_ : rtc_level_) = active;
  if (!legacy()) (input == kPitInput ? wires_.irq0 : wires_.irq8).set(active);
}

void Hpet::restore_irq(unsigned input, bool active) {
  (input == kPitInput ? pit_level_ : rtc_level_) = active;
  if (!legacy()) (input == kPitInput ? wires_.irq0 : wires_.irq8).restore(active);
}

// --- Registers ---

u64 Hpet::capabilities() const {
  const u64 fsb = wires_.msi != nullptr ? kTimerFsbCapable : 0;
  return u64{wires_.route_mask} << 32 | fsb | kTimer64BitCapable | kTimerPeriodicCapable;
}

u64 Hpet::read_comparator_register(unsigned index, u64 offset) {
  Comparator& c = comparators_[index];
  switch (offset) {
    case kComparatorConfig:
      return c.config | capabilities();
    case kComparatorValue:
      // Without interrupts nothing else moves the comparator on.
      if (runs() && is_periodic(c) && (c.config & kTimerInterrupts) == 0 &&
          c.match_at <= counter()) {
        step_past(c, counter());
      }
      return c.value;
    case kComparatorFsb:
      return c.fsb_route;
    default:
      return 0;
  }
}

u64 Hpet::read(u64 offset, unsigned size) {
  const u64 base = offset & ~u64{7};
  u64 value = 0;
  if (base >= kComparators) {
    const u64 index = (base - kComparators) / kComparatorStride;
    if (index < kTimers) {
      value = read_comparator_register(static_cast<unsigned>(index), base % kComparatorStride);
    }
  } else if (base == kCapabilities) {
    value = kCapabilitiesValue;
  } else if (base == kConfig) {
    value = config_;
  } else if (base == kStatus) {
    value = status_;
  } else if (base == kCounter) {
    value = counter();
  }
  return value >> (offset % 8 * 8) & byte_mask(size);
}

void Hpet::write(u64 offset, unsigned size, u64 value) {
  const unsigned shift = static_cast<unsigned>(offset % 8 * 8);
  write_register(offset & ~u64{7}, byte_mask(size) << shift, value << shift);
}

void Hpet::write_register(u64 offset, u64 mask, u64 value) {
  if (offset >= kComparators) {
    const u64 index = (offset - kComparators) / kComparatorStride;
    if (index >= kTimers) return;
    return write_comparator_register(static_cast<unsigned>(index), offset % kComparatorStride, mask,
                                     value);
  }
  switch (offset) {
    case kConfig:
      return write_config(mask, value);
    case kStatus:
      status_ &= ~(value & mask);
      return drive_lines();
    case kCounter:
      set_counter(merge(counter(), mask, value));
      return schedule_all();
    default:
      return;
  }
}

void Hpet::write_config(u64 mask, u64 value) {
  const u64 now = counter();
  const bool did_run = runs();
  config_ = merge(config_, mask, value) & (kConfigEnable | kConfigLegacy);
  if (runs() != did_run) {
    set_counter(now);
    schedule_all();
  }
  drive_lines();
}

void Hpet::write_comparator_register(unsigned index, u64 offset, u64 mask, u64 value) {
  switch (offset) {
    case kComparatorConfig:
      return write_comparator_config(index, mask, value);
    case kComparatorValue:
      return write_comparator_value(index, mask, value);
    case kComparatorFsb:
      comparators_[index].fsb_route = merge(comparators_[index].fsb_route, mask, value);
      return;
    default:
      return;
  }
}

void Hpet::write_comparator_config(unsigned index, u64 mask, u64 value) {
  Comparator& c = comparators_[index];
  u64 writable = kTimerWritable;
  if (wires_.msi == nullptr) writable &= ~kTimerFsb;
  c.config = merge(c.config, mask & writable, value);
  if (is_32_bit(c)) {
    c.value &= low_mask(32);
    c.period &= low_mask(32);
  }
  if (!is_level(c)) status_ &= ~(u64{1} << index);
  schedule(index);
  drive_lines();
}

// In periodic mode a write is the new period; with Tn_VAL_SET it is the first match as well
// (2.3.9.2.2).
void Hpet::write_comparator_value(unsigned index, u64 mask, u64 value) {
  Comparator& c = comparators_[index];
  const u64 width = is_32_bit(c) ? low_mask(32) : ~u64{0};
  const bool periodic = (c.config & kTimerPeriodic) != 0;
  if (!periodic || (c.config & kTimerSetsValue) != 0) c.value = merge(c.value, mask, value) & width;
  if (periodic) c.period = merge(c.period, mask, value) & width & low_mask(63);
  c.config &= ~kTimerSetsValue;
  schedule(index);
}

void Hpet::transfer(StateIo& io) {
  static constexpr std::array<std::string_view, kTimers> kNames{"timer0", "timer1", "timer2"};
  io.section(name(), 1, [&] {
    io.field(1, "GEN_CONF", config_);
    io.field(2, "GINTR_STA", status_);
    io.field(3, "counter_base", counter_base_);
    io.field(4, "ticks_base", ticks_base_);
    for (unsigned i = 0; i < kTimers; ++i) {
      Comparator& c = comparators_[i];
      io.section(kNames[i], 1, [&] {
        io.field(1, "config", c.config);
        io.field(2, "comparator", c.value);
        io.field(3, "period", c.period);
        io.field(4, "fsb_route", c.fsb_route);
        io.field(5, "match_at", c.match_at);
        io.check((c.config & ~kTimerWritable) == 0, "config has bits that cannot be written");
        io.check(!bit(c.period, 63), "the period is too long");
      });
    }
  });
}

void Hpet::resumed() {
  // A snapshot from nowhere may claim moments that have not come yet.
  ticks_base_ = std::min(ticks_base_, kHpetFrequency.ticks_at(clock_.now_ns()));
  for (unsigned i = 0; i < kTimers; ++i) {
    arm(i, 0);
    if (IrqLine* const wire = line(i); wire != nullptr && line_active(i)) wire->restore(true);
  }
}

}  // namespace emu
