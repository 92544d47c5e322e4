// SPDX-License-Identifier: Apache-2.0
// One processor's local APIC: xAPIC memory window, x2APIC MSRs, timer, interrupts to the processor.
// Source: Intel SDM vol. 3, chapter 11 (10 in editions before 2023).
// Threads: the machine lock is held by every caller.
// Not modelled: remote IRR of level-triggered LINT pins, thermal and performance interrupt sources
// (their LVT entries only remember), the focus processor, writable APIC ids, timer periods below
// kMinPeriodNs (they are stretched).
#pragma once

#include <array>
#include <memory>
#include <optional>

#include "base/vm_time.h"
#include "devices/chipset/apic_bus.h"
#include "devices/chipset/local_apic_spec.h"
#include "devices/device.h"

namespace emu {

// The processor's interrupt pins, as the APIC drives them. Calls never block.
class ApicCpuPort {
 public:
  virtual ~ApicCpuPort() = default;
  // The INTR pin: an interrupt waits to be acknowledged.
  virtual void set_interrupt_line(bool active) = 0;
  virtual void raise_nmi() = 0;
  virtual void raise_smi() = 0;
  virtual void raise_init() = 0;
  virtual void raise_sipi(u8 vector) = 0;
};

// The processor's time stamp counter, for the TSC-deadline timer.
class GuestTsc {
 public:
  virtual ~GuestTsc() = default;
  // The VM time at which the guest's TSC reaches `tsc`; any past time if it has; kNever if beyond.
  [[nodiscard]] virtual u64 ns_at(u64 tsc) const = 0;
};

// What is saved, and what an engine with its own local APIC exchanges with ours. `registers` has
// the hardware's layout: register n is at offset 16 * n of the window.
struct LocalApicState {
  u64 base = 0;  // IA32_APIC_BASE
  std::array<u32, lapic::kRegisterCount> registers{};
  u64 tsc_deadline = 0;               // IA32_TSC_DEADLINE; 0: not armed
  u64 timer_start_ns = 0;             // when the count was (as if) at its initial value
  u64 timer_deadline_ns = kNever;     // when the timer next fires
  u32 pending_errors = 0;             // not yet latched into ESR
  std::array<bool, 2> lint_levels{};  // LINT0, LINT1
};

class LocalApic final : public Device, public IoHandler, public IrqSink {
 public:
  static constexpr u64 kWindowBytes = 0x1000;
  static constexpr u64 kMinPeriodNs = 20'000;

  struct Wires {
    ApicBus& bus;
    ApicCpuPort& cpu;
    Clock& clock;  // the timer counts nanoseconds: its bus clock is 1 GHz, as under KVM and QEMU
    const GuestTsc& tsc;
  };
  // `id` is the initial APIC id, unique on the bus; `boot` marks the boot processor.
  LocalApic(const Wires& wires, u32 id, bool boot);
  ~LocalApic() override;
  LocalApic(const LocalApic&) = delete;
  LocalApic& operator=(const LocalApic&) = delete;

  // --- the processor's side
  // The interrupt-acknowledge cycle: puts the most important request in service and returns its
  // vector; from the 8259 if that one's turn is due; nothing if the request went away.
  [[nodiscard]] std::optional<u8> acknowledge();
  // CR8: the upper half of TPR, 0..15.
  [[nodiscard]] u8 task_priority() const { return static_cast<u8>(reg(lapic::kTpr) >> 4); }
  void set_task_priority(u8 priority_class);
  // IA32_APIC_BASE, IA32_TSC_DEADLINE and 800h-8FFh. Nothing / false: the access is a #GP.
  [[nodiscard]] std::optional<u64> read_msr(u32 index);
  [[nodiscard]] bool write_msr(u32 index, u64 value);
  // The offset in this APIC's memory window, if the processor's access to `address` goes there.
  [[nodiscard]] std::optional<u64> window_offset(u64 address) const {
    if (!xapic() || (address & lapic::kBaseAddress) != (state_.base & lapic::kBaseAddress)) {
      return std::nullopt;
    }
    return address & (kWindowBytes - 1);
  }
  // Whether the processor's own accesses to `address` end here, even where window_offset() has no
  // register for them: reads give ones, writes vanish, and no message goes out.
  [[nodiscard]] bool covers(u64 address) const {
    return (address & lapic::kBaseAddress) == (state_.base & lapic::kBaseAddress);
  }
  // The window, for this processor only: AccessSizes{4, 4}.
  [[nodiscard]] u64 read(u64 offset, unsigned size) override;
  void write(u64 offset, unsigned size, u64 value) override;
  // The guest changed its TSC: a TSC deadline moves.
  void tsc_changed();

  // While an engine runs this APIC: the registers here are a copy that neither counts time nor
  // drives the processor. Only LINT0, the 8259's INTR, still goes to the processor's line and is
  // acknowledged here; whether it passes is the engine's business.
  void set_remote(bool remote);
  [[nodiscard]] u32 timer_count() const { return current_count(); }

  // --- the board's side: input 0 is LINT0 (the 8259's INTR), input 1 LINT1 (NMI)
  void set_irq(unsigned input, bool active) override;
  void restore_irq(unsigned input, bool active) override;

  // --- the bus's side
  [[nodiscard]] u32 id() const { return id_; }
  [[nodiscard]] bool enabled() const { return (state_.base & lapic::kBaseEnable) != 0; }
  [[nodiscard]] bool x2apic() const { return (state_.base & lapic::kBaseX2apic) != 0; }
  [[nodiscard]] bool software_enabled() const {
    return (reg(lapic::kSvr) & lapic::kSvrEnable) != 0;
  }
  [[nodiscard]] u32 logical_destination() const { return reg(lapic::kLdr); }
  [[nodiscard]] bool flat_model() const { return reg(lapic::kDfr) >> 28 == 0xf; }
  [[nodiscard]] u8 processor_priority() const;
  // A message for this processor. Returns whether it was taken.
  bool accept(DeliveryMode mode, u8 vector, bool level);

  // set_state() acts like a load: call resumed() after it. Out-of-range fields are put right.
  [[nodiscard]] const LocalApicState& state() const { return state_; }
  void set_state(const LocalApicState& state);

  [[nodiscard]] std::string_view name() const override { return name_; }
  void reset() override;
  void transfer(StateIo& io) override;
  void resumed() override;

 private:
  [[nodiscard]] bool xapic() const {
    return (state_.base & (lapic::kBaseEnable | lapic::kBaseX2apic)) == lapic::kBaseEnable;
  }
  [[nodiscard]] u32 reg(unsigned index) const { return state_.registers[index]; }
  [[nodiscard]] u32& reg(unsigned index) { return state_.registers[index]; }

  // registers
  [[nodiscard]] u32 read_register(unsigned index) const;
  void write_register(unsigned index, u32 value);
  void write_spurious(u32 value);
  void write_lvt(unsigned index, u32 value);
  [[nodiscard]] bool write_base(u64 value);
  [[nodiscard]] bool write_x2apic(unsigned index, u64 value);
  void reset_registers();
  void update_ids();
  void sanitize();

  // interrupts
  [[nodiscard]] int highest(unsigned bank) const;
  void set_vector(unsigned bank, u8 vector, bool on);
  [[nodiscard]] int deliverable() const;
  [[nodiscard]] bool pic_passes() const;
  [[nodiscard]] bool line_wanted() const;
  void drive_line();
  void update();
  void end_of_interrupt();
  void send_ipi(u32 low, u32 destination);
  void raise_lvt(unsigned index);
  void raise_error(u32 error);
  void lint_rises(unsigned pin);

  // timer
  [[nodiscard]] u32 timer_mode() const { return reg(lapic::kLvtTimer) & lapic::kTimerModes; }
  [[nodiscard]] unsigned divide_shift() const;
  [[nodiscard]] u64 period_ns() const { return u64{reg(lapic::kTimerInitial)} << divide_shift(); }
  [[nodiscard]] u32 current_count() const;
  void rearm();
  void start_timer(u32 initial);
  void write_divide(u32 value);
  void change_timer_mode(u32 old_mode);
  void write_tsc_deadline(u64 tsc);
  void arm(u64 deadline_ns);
  void timer_fired();
  [[nodiscard]] u64 next_period_end() const;

  // wires
  ApicBus& bus_;
  ApicCpuPort& cpu_;
  Clock& clock_;
  const GuestTsc& tsc_;
  const u32 id_;
  const bool boot_;
  const std::string name_;
  // parts
  std::unique_ptr<Timer> timer_;
  // state (saved)
  LocalApicState state_;
  // scratch (rebuilt)
  bool line_ = false;
  bool remote_ = false;
};

}  // namespace emu
