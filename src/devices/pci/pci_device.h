// SPDX-License-Identifier: Apache-2.0
// The part that every PCI function has: configuration header, BARs, capabilities, interrupts.
// Source: PCI Local Bus Specification 3.0, chapter 6.
// Threads: the machine lock is held by every caller.
// Not modelled: bridges (type 1 headers), bus errors, latency timing, power management.
#pragma once

#include <array>
#include <memory>
#include <span>
#include <string>

#include "devices/device.h"
#include "devices/irq_line.h"
#include "devices/pci/msi.h"
#include "devices/pci/option_rom.h"
#include "devices/pci/pci_bus.h"
#include "devices/pci/pci_spec.h"
#include "devices/register_file.h"

namespace emu {

// The read-only identity of a function. Subsystem ids default to QEMU's, which guests know.
struct PciIdentity {
  u16 vendor = 0;
  u16 device = 0;
  u8 revision = 0;
  u32 class_code = 0;  // 24 bits: class, subclass, programming interface
  u16 subsystem_vendor = 0x1af4;
  u16 subsystem = 0x1100;
  bool multi_function = false;
  u8 interrupt_pin = 0;  // 0: none, 1..4: INTA..INTD
  u16 status = 0;        // fixed bits of the status register
};

// Base of every PCI function. A derived device defines its own registers in config(), adds BARs
// and capabilities in its constructor, and overrides config_written() for its hooks. The bus must
// outlive it. When it overrides reset, transfer or resumed, it calls the *_config() part itself.
class PciDevice : public Device, public PciFunction, private MsiSink {
 public:
  // Attaches itself to `bus` at `devfn`, which must be free.
  PciDevice(PciBus& bus, u8 devfn, std::string name, const PciIdentity& identity);
  ~PciDevice() override;
  PciDevice(const PciDevice&) = delete;
  PciDevice& operator=(const PciDevice&) = delete;

  [[nodiscard]] std::string_view name() const final { return name_; }
  [[nodiscard]] u8 devfn() const { return devfn_; }
  void reset() override { reset_config(); }
  void transfer(StateIo& io) override {
    io.section(name(), 1, [&] { transfer_config(io); });
  }
  void resumed() override { resume_config(); }

  [[nodiscard]] u32 read_config(u32 offset, unsigned size) final;
  void write_config(u32 offset, unsigned size, u32 value) final;

  // Gives the function an option ROM of its own, not yet having one; before the first reset.
  // `image` is not empty and at most 16 MiB.
  void plug_rom(std::vector<u8> image);

  // Whether the guest let this function master the bus (Command bit 2). Without it, DMA reads give
  // all ones and DMA writes vanish, and no MSI leaves.
  [[nodiscard]] bool bus_master() const {
    return (config_.get<u16>(pci::kCommand) & pci::kCommandMaster) != 0;
  }
  // Reads or writes RAM as a master; false (and ones read) if mastering is off or a part of it is
  // no plain RAM.
  bool dma_read(u64 address, std::span<u8> out);
  bool dma_write(u64 address, std::span<const u8> in);

 protected:
  using Config = RegisterFile<pci::kConfigBytes>;
  [[nodiscard]] Config& config() { return config_; }
  [[nodiscard]] const Config& config() const { return config_; }
  [[nodiscard]] PciBus& bus() { return bus_; }

  // BARs. The region's size is a power of two: memory at least 16 bytes, I/O 4..256, ROM at least
  // 2 KiB. It is placed in the bus's container and moves as the guest programs the BAR. A 64-bit
  // BAR takes `index` and `index + 1`.
  enum class BarKind : u8 { kMemory32, kMemory64, kPrefetchable32, kPrefetchable64, kIo };
  void add_bar(unsigned index, BarKind kind, Region& region);
  void add_rom_bar(Region& region);

  // Links a capability of `length_bytes` at `offset` (0: the next free multiple of 4 from 40h) at
  // the end of the list. Its bytes after id and next pointer are the caller's to define.
  u8 add_capability(u8 id, u8 length_bytes, u8 offset = 0);
  // Message-signalled interrupts; at most one of each. `vectors` is 1..32, a power of two.
  MsiCapability& add_msi(unsigned vectors, u8 offset = 0);
  // `vectors` is 1..2048; table and PBA are placed as `place` says.
  MsixCapability& add_msix(unsigned vectors, const MsixCapability::Place& place, u8 offset = 0);

  // The level of the function's interrupt pin; held back while Command bit 10 disables it.
  void set_intx(bool active);
  // One interrupt through the best mechanism the guest enabled: MSI-X, MSI, or nothing (false:
  // the caller drives set_intx()).
  bool send_message(unsigned vector);
  [[nodiscard]] bool messages_enabled() const;

  // After a guest's write to registers with the device's own hooks.
  virtual void config_written(HookSet) {}
  // Before a guest's read of configuration bytes: for registers whose value is made on demand.
  virtual void config_reading(u32 offset, unsigned size) {
    static_cast<void>(offset), static_cast<void>(size);
  }

  void reset_config();
  void transfer_config(StateIo& io);
  void resume_config();

 private:
  struct Bar {
    Region* region = nullptr;
    bool io = false;
    bool wide = false;
    u64 size_bytes = 0;
  };
  static constexpr unsigned kRomIndex = pci::kBarCount;

  // A message is a write by a bus master.
  void send_msi(u64 address, u32 data) override {
    if (bus_master()) bus_.wires().interrupts.send_msi(address, data);
  }
  void place(Region& region, bool io);
  void update_bars();
  void update_bar(Region& region, bool enabled, u64 address, const Region& container);
  [[nodiscard]] u64 bar_address(unsigned index) const;
  void update_intx();
  [[nodiscard]] u16 command() const { return config_.get<u16>(pci::kCommand); }

  // wires
  PciBus& bus_;
  const u8 devfn_;
  const std::string name_;
  IrqLine pin_;
  // parts
  std::array<Bar, pci::kBarCount + 1> bars_{};
  u16 capability_end_ = 0x40;  // the next free byte
  u8 last_capability_ = 0;
  std::unique_ptr<MsiCapability> msi_;
  std::unique_ptr<MsixCapability> msix_;
  std::unique_ptr<OptionRom> option_rom_;
  // state (saved)
  Config config_;
  bool intx_ = false;
  // scratch (rebuilt)
  bool pin_level_ = false;
};

}  // namespace emu
