// SPDX-License-Identifier: Apache-2.0
// The ACPI registers of the PIIX4: PM1 event and control, PM timer, general-purpose events.
// Source: ACPI 6.4, 4.8 "ACPI Register Model"; Intel 82371AB (PIIX4) data sheet (290562), 7.2.
// Threads: the machine lock is held by every caller.
// Not modelled: suspend to RAM and processor clock control (neither is offered in the ACPI tables),
// the bus master and RTC events, device monitors (their registers read as zero), the SMI that an
// event raises while ACPI is off.
#pragma once

#include <functional>
#include <memory>

#include "base/vm_time.h"
#include "devices/device.h"
#include "devices/irq_line.h"
#include "memory/io_handler.h"

namespace emu {

class AcpiPm final : public Device, public IoHandler {
 public:
  static constexpr u64 kWindowBytes = 64;
  static constexpr AccessSizes kSizes{1, 4, false};
  // Offsets of the blocks in the window, as the FADT names them.
  static constexpr u64 kPm1EventBlock = 0x00;
  static constexpr u64 kPm1ControlBlock = 0x04;
  static constexpr u64 kPmTimerBlock = 0x08;
  static constexpr u64 kGpe0Block = 0x0c;  // two bytes of status, two of enables
  // What the FADT says to write to the SMI command port (APMC, B2h).
  static constexpr u8 kEnableCommand = 0xf1;
  static constexpr u8 kDisableCommand = 0xf0;
  // SLP_TYP values of \_S5 and \_S4; both end with the power off.
  static constexpr u8 kSleepTypeOff = 0;
  static constexpr u8 kSleepTypeHibernate = 2;

  // `sci` is IRQ 9, level-triggered. `request_power_off` only notes the request.
  AcpiPm(IrqLine sci, Clock& clock, std::function<void()> request_power_off);

  // The registers at PMBASE (kWindowBytes, kSizes).
  [[nodiscard]] IoHandler& pm_registers() { return *this; }
  [[nodiscard]] u64 read(u64 offset, unsigned size) override;
  void write(u64 offset, unsigned size, u64 value) override;

  // A byte written to the SMI command port: switches ACPI mode as the firmware's SMI handler would.
  void smi_command(u8 command);
  // The user pressed the power button for a moment.
  void press_power_button();
  // Whether the guest wants an interrupt then.
  [[nodiscard]] bool hears_power_button() const;
  // General-purpose event 0..15 happened (hot plug and the like).
  void raise_gpe(unsigned event);

  [[nodiscard]] std::string_view name() const override { return "acpi-pm"; }
  void reset() override;
  void transfer(StateIo& io) override;
  void resumed() override;

 private:
  [[nodiscard]] u16 read16(u64 offset);
  void write16(u64 offset, u16 mask, u16 value);
  void write_control(u16 value);
  [[nodiscard]] u64 timer_ticks() const;
  void catch_up_timer();
  [[nodiscard]] bool sci_active() const;
  [[nodiscard]] u64 next_overflow_ns() const;
  void settle();

  // wires
  IrqLine sci_;
  Clock& clock_;
  std::function<void()> request_power_off_;
  // parts
  std::unique_ptr<Timer> overflow_timer_;
  // state (saved)
  u16 status_ = 0;
  u16 enable_ = 0;
  u16 control_ = 0;
  u16 gpe_status_ = 0;
  u16 gpe_enable_ = 0;
  u64 seen_half_cycles_ = 0;  // how often bit 23 of the PM timer had changed when we last looked
};

}  // namespace emu
