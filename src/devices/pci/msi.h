// SPDX-License-Identifier: Apache-2.0
// MSI and MSI-X: a function's interrupts as memory writes.
// Source: PCI Local Bus Specification 3.0, 6.8.1 (MSI), 6.8.2 (MSI-X).
// Threads: the machine lock is held by every caller.
#pragma once

#include <memory>
#include <vector>

#include "base/state_io.h"
#include "devices/irq_line.h"
#include "devices/pci/pci_spec.h"
#include "devices/register_file.h"
#include "memory/address_space.h"

namespace emu {

// The MSI capability: 64-bit address, per-vector masking, up to 32 vectors. Its registers live in
// the function's configuration space, and so does its state.
class MsiCapability {
 public:
  static constexpr u8 kLengthBytes = 24;
  using Config = RegisterFile<pci::kConfigBytes>;

  // `offset` is the capability's place in `config`; `vectors` is a power of two of at most 32.
  MsiCapability(Config& config, u8 offset, unsigned vectors, MsiSink& sink);

  [[nodiscard]] bool enabled() const;
  // One message; held as pending while the vector is masked. Vectors beyond those the guest
  // enabled fold onto the last bits, as 6.8.1.6 has it.
  void send(unsigned vector);
  // After a guest's write to the capability: sends what is pending and no longer masked.
  void written();
  // The number of vectors the guest granted, 1..32.
  [[nodiscard]] unsigned granted() const;

 private:
  Config& config_;
  MsiSink& sink_;
  const u8 offset_;
  const unsigned vectors_;
};

// The MSI-X capability with its vector table and pending-bit array in a memory BAR.
class MsixCapability {
 public:
  static constexpr u8 kLengthBytes = 12;
  static constexpr unsigned kEntryBytes = 16;
  using Config = RegisterFile<pci::kConfigBytes>;

  // Where table and pending bits sit: in `bar`, a container that is (or will be) memory BAR
  // `bar_index`, at two offsets that are multiples of 8 and do not overlap.
  struct Place {
    unsigned bar_index;
    Region& bar;
    u32 table_offset;
    u32 pba_offset;
  };
  // `vectors` is 1..2048.
  MsixCapability(Config& config, u8 offset, unsigned vectors, const Place& place, MsiSink& sink);
  ~MsixCapability();
  MsixCapability(const MsixCapability&) = delete;
  MsixCapability& operator=(const MsixCapability&) = delete;

  [[nodiscard]] bool enabled() const;
  [[nodiscard]] unsigned vectors() const { return static_cast<unsigned>(table_.size() / 4); }
  // One message of `vector` (beyond the table: none); pending while masked.
  void send(unsigned vector);
  // After a guest's write to the capability or the table: sends what is no longer masked.
  void written();
  void reset();
  void transfer(StateIo& io);

 private:
  class TableWindow;
  class PbaWindow;
  [[nodiscard]] bool masked(unsigned vector) const;
  void deliver(unsigned vector);

  // wires
  Config& config_;
  MsiSink& sink_;
  const u8 offset_;
  // parts
  std::unique_ptr<TableWindow> table_window_;
  std::unique_ptr<PbaWindow> pba_window_;
  std::unique_ptr<Region> table_region_;
  std::unique_ptr<Region> pba_region_;
  // state (saved)
  std::vector<u32> table_;    // four words an entry: address, upper address, data, control
  std::vector<u64> pending_;  // a bit a vector
};

}  // namespace emu
