// SPDX-License-Identifier: Apache-2.0
// High precision event timers: a 64-bit counter at 100 MHz and three comparators.
// Source: Intel IA-PC HPET specification 1.0a (October 2004), chapter 2.
// Threads: the machine lock is held by every caller.
// Not modelled: the spurious match that a 32-bit reader may cause in a real block between the two
// halves of a 64-bit comparator write.
#pragma once

#include <array>
#include <functional>
#include <memory>

#include "base/vm_time.h"
#include "devices/device.h"
#include "devices/irq_line.h"
#include "memory/io_handler.h"

namespace emu {

// In legacy replacement mode, comparators 0 and 1 take the interrupts of the 8254 and the RTC over.
// So those two chips drive the HPET (an IrqSink: input 0 the 8254, input 8 the RTC), which passes
// them on in the other mode.
class Hpet final : public Device, public IoHandler, public IrqSink {
 public:
  static constexpr u64 kWindowBytes = 0x400;
  static constexpr AccessSizes kSizes{4, 8, false};
  static constexpr unsigned kTimers = 3;
  static constexpr unsigned kPitInput = 0;
  static constexpr unsigned kRtcInput = 8;

  struct Wires {
    IrqLine irq0;                      // ISA interrupt 0
    IrqLine irq8;                      // ISA interrupt 8
    std::array<IrqLine, 32> routes{};  // I/O APIC input n
    u32 route_mask = 0;                // which routes exist (Tn_INT_ROUTE_CAP)
    MsiSink* msi = nullptr;            // null: no FSB delivery
  };

  Hpet(Wires wires, Clock& clock);

  // kWindowBytes of registers, kSizes.
  [[nodiscard]] IoHandler& registers() { return *this; }
  [[nodiscard]] u64 read(u64 offset, unsigned size) override;
  void write(u64 offset, unsigned size, u64 value) override;

  void set_irq(unsigned input, bool active) override;
  void restore_irq(unsigned input, bool active) override;

  // Hears whether comparator 0 has taken interrupt 0 over, when that may have changed.
  void set_legacy_listener(std::function<void(bool)> listener) { legacy_ = std::move(listener); }
  [[nodiscard]] bool legacy() const;

  [[nodiscard]] std::string_view name() const override { return "hpet"; }
  void reset() override;
  void transfer(StateIo& io) override;
  void resumed() override;

 private:
  struct Comparator {
    u64 config = 0;  // the writable bits
    u64 value = 0;   // Tn_COMP
    u64 period = 0;  // periodic mode: what is added at each match
    u64 fsb_route = 0;
    u64 match_at = kNever;  // main counter value of the next match, if the counter runs
  };

  void write_register(u64 offset, u64 mask, u64 value);
  [[nodiscard]] u64 read_comparator_register(unsigned index, u64 offset);
  void write_comparator_register(unsigned index, u64 offset, u64 mask, u64 value);
  void write_config(u64 mask, u64 value);
  void write_comparator_config(unsigned index, u64 mask, u64 value);
  void write_comparator_value(unsigned index, u64 mask, u64 value);

  [[nodiscard]] bool runs() const;
  [[nodiscard]] u64 counter() const;
  void set_counter(u64 value);
  [[nodiscard]] u64 capabilities() const;
  [[nodiscard]] static bool is_32_bit(const Comparator& c);
  [[nodiscard]] static bool is_periodic(const Comparator& c);
  [[nodiscard]] static bool is_level(const Comparator& c);
  void schedule(unsigned index);
  void schedule_all();
  void step_past(Comparator& c, u64 count) const;
  void arm(unsigned index, u64 earliest_ns);
  void timer_fired(unsigned index);
  void interrupt(unsigned index);
  [[nodiscard]] IrqLine* line(unsigned index);
  [[nodiscard]] bool line_active(unsigned index) const;
  void drive_lines();

  // wires
  Wires wires_;
  Clock& clock_;
  std::function<void(bool)> legacy_;
  // parts
  std::array<std::unique_ptr<Timer>, kTimers> timers_;
  // state (saved)
  u64 config_ = 0;
  u64 status_ = 0;
  u64 counter_base_ = 0;  // the main counter at ticks_base_, or for good while it is halted
  u64 ticks_base_ = 0;
  std::array<Comparator, kTimers> comparators_{};
  // scratch (rebuilt)
  bool pit_level_ = false;
  bool rtc_level_ = false;
};

}  // namespace emu
