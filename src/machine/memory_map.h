// SPDX-License-Identifier: Apache-2.0
// The PC's two address spaces: RAM around the PCI hole, PAM and SMRAM, ROM, and the containers that
// devices are placed in.
// Source: 82441FX data sheet 4.1 (memory map), 3.2.19 (PAM), 3.2.27 (SMRAM).
// Threads: the machine lock is held by every caller.
// Not modelled: SMRAM is shown to all processors while one is in SMM; a PAM segment that reads the
// bus and writes RAM shows the BIOS ROM, not option ROMs, below.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "devices/chipset/i440fx.h"
#include "devices/irq_line.h"
#include "machine/pc_layout.h"
#include "memory/address_space.h"

namespace emu {

class MemoryMap final : public HostBridgeMap, public IrqSink {
 public:
  // Errors: the host refuses that much memory.
  [[nodiscard]] static Result<std::unique_ptr<MemoryMap>> create(u64 memory_bytes);
  ~MemoryMap() override;

  [[nodiscard]] AddressSpace& memory() { return *memory_; }
  [[nodiscard]] AddressSpace& ports() { return *ports_; }
  [[nodiscard]] GuestRam& ram() { return *ram_; }
  [[nodiscard]] const MemoryLayout& layout() const { return layout_; }
  // Where PCI memory BARs go: beneath RAM, at bus addresses.
  [[nodiscard]] Region& pci_memory() { return *pci_; }
  [[nodiscard]] Region& port_root() { return *port_root_; }

  // Places chip registers over everything else. The region must live as long as the map, or be
  // destroyed first.
  void place_chip(Region& region, u64 address) { root_->add(region, address, kChipPriority); }
  // Makes and places a window of registers; the map owns the region.
  void add_chip(std::string name, u64 address, u64 bytes, IoHandler& handler, AccessSizes sizes);
  void add_port(std::string name, u16 port, u16 count, IoHandler& handler, AccessSizes sizes);
  // The BIOS: `image` (a multiple of 4 KiB, at most 16 MiB) ends at 4 GiB, and its last 128 KiB
  // show below 1 MiB. Errors: bad size, the host refuses the memory.
  [[nodiscard]] Result<void> set_bios(std::span<const u8> image);

  // HostBridgeMap
  void set_pam(unsigned index, bool read_enable, bool write_enable) override;
  void set_smram(const SmramControl& control) override;
  // No processor is in SMM.
  void reset();
  // The A20 gate; SMM is the processors' to restore, PAM and SMRAM the host bridge's.
  void transfer(StateIo& io);
  // Processors in SMM now: SMRAM is visible while there is one.
  void smm_changed(bool entered);
  // IrqSink: input 0 is the A20 gate.
  void set_irq(unsigned input, bool active) override;
  void restore_irq(unsigned input, bool active) override { set_irq(input, active); }

 private:
  class ShadowWriter;
  static constexpr int kRomPriority = 1, kShadowPriority = 2, kSmramPriority = 3, kA20Priority = 4,
                       kChipPriority = 5;

  MemoryMap(u64 memory_bytes, std::unique_ptr<GuestRam> ram);
  void make_shadow(unsigned index);
  void update_smram();

  MemoryLayout layout_;
  std::unique_ptr<GuestRam> ram_;
  std::unique_ptr<GuestRam> bios_;
  std::unique_ptr<Region> root_, port_root_, pci_;
  std::unique_ptr<Region> low_ram_, extended_ram_, high_ram_, a20_alias_;
  std::unique_ptr<Region> smram_, bios_high_, bios_low_;
  struct Shadow {
    std::unique_ptr<Region> ram;  // reads RAM
    std::unique_ptr<ShadowWriter> writer;
    std::unique_ptr<Region> write_through;  // reads the bus, writes RAM
  };
  std::array<Shadow, kPamCount> shadows_;
  std::vector<std::unique_ptr<Region>> owned_;
  SmramControl smram_control_;
  unsigned processors_in_smm_ = 0;
  std::unique_ptr<AddressSpace> memory_, ports_;
};

}  // namespace emu
