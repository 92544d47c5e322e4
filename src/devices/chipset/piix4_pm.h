// SPDX-License-Identifier: Apache-2.0
// Intel PIIX4 (82371AB) power management function: places the ACPI and SMBus registers, and turns
// writes to the APM control port into SMIs.
// Source: Intel 82371AB (PIIX4) data sheet (290562), 7.1-7.3; SeaBIOS's use of PMBA, PMREGMISC,
// SMBBA, SMBHSTCFG and DEVACTB.
// Threads: the machine lock is held by every caller.
// Not modelled: device monitors and idle timers (their registers only remember), SMBus interrupts,
// SMBus slaves.
#pragma once

#include <functional>
#include <memory>

#include "devices/io_window.h"
#include "devices/pci/pci_device.h"

namespace emu {

// The SMBus host controller's sixteen registers on a bus without slaves: every transaction ends
// with a device error.
class Piix4Smbus final : public IoHandler {
 public:
  static constexpr u64 kWindowBytes = 16;

  Piix4Smbus();
  // Byte registers: AccessSizes{1, 1}.
  [[nodiscard]] u64 read(u64 offset, unsigned size) override;
  void write(u64 offset, unsigned size, u64 value) override;
  void reset() { registers_.reset(); }
  void transfer(StateIo& io);

 private:
  // state (saved)
  RegisterFile<kWindowBytes> registers_;
};

class Piix4Pm final : public PciDevice {
 public:
  static constexpr u64 kPmWindowBytes = 64;
  static constexpr u64 kApmPortBytes = 2;

  struct Wires {
    IoHandler& pm_registers;  // kPmWindowBytes of ACPI registers, placed at PMBA
    AccessSizes pm_sizes;
    std::function<void(u8)> apm_command;  // any byte written to port B2h (ACPI enable, disable)
    std::function<void()> raise_smi;      // then this, if DEVACTB enables it
  };
  // Function 3 of `device`. Its interrupt pin is INTA as the header says, but the SCI is fixed.
  Piix4Pm(PciBus& bus, unsigned device, Wires wires);

  // Ports B2h (APMC) and B3h (APMS): byte registers.
  [[nodiscard]] IoHandler& apm_ports() { return apm_ports_; }
  // On a board whose processors have no system management mode, firmware finds it set up after
  // every reset (DEVACTB's APMC_EN), and does not wait for a handler that never runs.
  void set_smm_absent(bool absent) { smm_absent_ = absent; }
  // The port at which the ACPI registers are, or 0 while they are not decoded.
  [[nodiscard]] u16 pm_base() const;

  void reset() override;
  void transfer(StateIo& io) override;
  void resumed() override;

 private:
  void config_written(HookSet hooks) override;
  void place_windows();
  static void place(Region& region, bool enabled, u16 base);
  u64 read_apm(u64 offset, unsigned size);
  void write_apm(u64 offset, unsigned size, u64 value);

  // wires
  const Wires wires_;
  bool smm_absent_ = false;
  // parts
  Piix4Smbus smbus_;
  IoWindow<Piix4Pm> apm_ports_{*this, &Piix4Pm::read_apm, &Piix4Pm::write_apm};
  std::unique_ptr<Region> pm_window_;
  std::unique_ptr<Region> smbus_window_;
  // state (saved)
  u8 apm_control_ = 0;
  u8 apm_status_ = 0;
};

}  // namespace emu
