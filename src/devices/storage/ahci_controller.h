// SPDX-License-Identifier: Apache-2.0
// The AHCI function of an ICH9: SATA ports, each with an ATA disk, a CD drive or nothing behind it,
// 32 command slots a port, native command queuing, MSI or INTx. Source: Serial ATA AHCI 1.3.1;
// Intel ICH9 data sheet (316972) 14 (identity, ABAR). Threads: the machine lock is held by every
// caller. Not modelled: port multipliers, legacy ports, power states of links, enclosure
// management, command completion coalescing.
#pragma once

#include <memory>
#include <vector>

#include "devices/io_window.h"
#include "devices/pci/pci_device.h"
#include "devices/storage/ahci_port.h"

namespace emu {

class AhciController final : public PciDevice {
 public:
  static constexpr unsigned kPorts = 6;

  AhciController(PciBus& bus, u8 devfn, const std::string& name);
  ~AhciController() override;

  // Puts a disk behind an empty port, before the machine runs. `backend` outlives this, and is
  // drained before this is destroyed.
  void attach_disk(unsigned port, BlockBackend& backend, const DriveIdentity& identity);

  // The same for a CD drive; `medium` may be null.
  CdromUnit& attach_cdrom(unsigned port, BlockBackend* medium, const DriveIdentity& identity);

  void reset() override;
  void transfer(StateIo& io) override;
  void resumed() override;

 private:
  [[nodiscard]] u64 read_register(u64 offset, unsigned size);
  void write_register(u64 offset, unsigned size, u64 value);
  void reset_host();
  void port_changed();

  // parts
  std::vector<std::unique_ptr<AhciPort>> ports_;
  IoWindow<AhciController> registers_{*this, &AhciController::read_register,
                                      &AhciController::write_register};
  std::unique_ptr<Region> region_;
  // state (saved)
  bool interrupts_ = false;
  u32 is_ = 0;
};

}  // namespace emu
