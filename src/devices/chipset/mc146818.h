// SPDX-License-Identifier: Apache-2.0
// The MC146818A real-time clock with a PC's CMOS memory: ports 70h-73h.
// Source: Motorola MC146818A data sheet (1984); Intel 82371AB (PIIX4) data sheet 4.2.7 "Real time
// clock"; IBM PC/AT convention: century at 32h.
// Threads: the machine lock is held by every caller.
// Not modelled: daylight saving (B.DSE is kept, nothing more), the square wave output, time bases
// other than 32768 Hz (a divider that selects one stops the clock), the NMI mask's effect.
#pragma once

#include <array>
#include <functional>
#include <memory>

#include "base/vm_time.h"
#include "devices/chipset/calendar.h"
#include "devices/device.h"
#include "devices/io_window.h"
#include "devices/irq_line.h"

namespace emu {

class Mc146818 final : public Device {
 public:
  static constexpr unsigned kBankBytes = 128;

  // Seconds since 1970-01-01 00:00 in the zone that the guest's clock shows: UTC, local time, or a
  // fixed date. Asked once, at power-on; then VM time carries the clock on.
  using WallClock = std::function<i64()>;

  // `irq` is IRQ 8.
  Mc146818(IrqLine irq, Clock& clock, const WallClock& wall_clock);

  // Ports 70h..73h, byte registers: index and data of the standard bank, then of the extended one.
  [[nodiscard]] IoHandler& ports() { return ports_; }

  // CMOS memory as firmware expects to find it (memory sizes, boot order); `index` is 0Eh..7Fh for
  // the standard bank, 80h..FFh for the extended one. Survives reset().
  void set_cmos(u8 index, u8 value);
  [[nodiscard]] u8 cmos(u8 index) const;
  // Sets the time, in the data mode that the guest chose.
  void set_time(i64 seconds);
  // What the guest would read now.
  [[nodiscard]] CalendarTime time();

  [[nodiscard]] std::string_view name() const override { return "mc146818"; }
  // The RESET pin: interrupts off; time and memory stay, they have a battery.
  void reset() override;
  void transfer(StateIo& io) override;
  void resumed() override;

 private:
  u64 read(u64 offset, unsigned size);
  void write(u64 offset, unsigned size, u64 value);
  u8 read_register(u8 index);
  void write_register(u8 index, u8 value);
  u8 read_c();
  void write_a(u8 value);
  void write_b(u8 value);

  [[nodiscard]] bool divider_runs() const;
  [[nodiscard]] bool updates() const;
  [[nodiscard]] bool update_in_progress() const;
  [[nodiscard]] u64 since_update_ns() const;
  [[nodiscard]] u8 encode(u32 value) const;
  [[nodiscard]] u32 decode(u8 value) const;
  [[nodiscard]] u8 encode_hour(u32 hour) const;
  [[nodiscard]] u32 decode_hour(u8 value) const;
  [[nodiscard]] CalendarTime registers() const;
  void set_registers(const CalendarTime& time);
  [[nodiscard]] bool alarm_within(i64 first_second, i64 last_second) const;

  void catch_up();
  void catch_up_seconds();
  void catch_up_periodic();
  [[nodiscard]] u64 period_ticks() const;
  [[nodiscard]] u64 divider_ticks() const;
  [[nodiscard]] u64 next_deadline_ns() const;
  [[nodiscard]] bool interrupting() const;
  void settle();

  // wires
  IrqLine irq_;
  Clock& clock_;
  // parts
  IoWindow<Mc146818> ports_{*this, &Mc146818::read, &Mc146818::write};
  std::unique_ptr<Timer> timer_;
  // state (saved)
  u8 index_ = 0;
  u8 extended_index_ = 0;
  std::array<u8, kBankBytes> bank_{};
  std::array<u8, kBankBytes> extended_{};
  u64 updated_at_ns_ = 0;        // VM time of the last update cycle
  u64 divider_base_ns_ = 0;      // VM time at which the divider chain left its reset
  u64 periodic_seen_ticks_ = 0;  // divider ticks up to which C.PF is up to date
};

}  // namespace emu
