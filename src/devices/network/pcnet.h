// SPDX-License-Identifier: Apache-2.0
// AMD Am79C970A (PCnet-PCI II): a LANCE with 32-bit descriptors on PCI.
// Source: AMD 19436 (Am79C970A data sheet), "User accessible registers", "Descriptor rings".
// Threads: the machine lock is held by every caller.
// Not modelled: loopback, polling of the transmit ring without demand (TDMD), byte swapping, magic
// packets, the EEPROM's wires; a full ring makes frames wait in the network instead of missing
// them.
#pragma once

#include <memory>
#include <vector>

#include "devices/io_window.h"
#include "devices/network/net_card.h"
#include "devices/pci/pci_device.h"

namespace emu {

class Pcnet final : public PciDevice, public NetCard, private NetReceiver {
 public:
  static constexpr u64 kWindowBytes = 32;

  Pcnet(PciBus& bus, u8 devfn, std::string name, const MacAddress& mac, NetBackend& backend);
  ~Pcnet() override;

  void reset() override;
  void transfer(StateIo& io) override;
  void resumed() override;

  void set_link(bool up) override;
  [[nodiscard]] bool link() const override { return link_; }
  [[nodiscard]] const NetCounters& counters() const override { return counters_; }
  [[nodiscard]] IoHandler& registers() { return registers_; }

 private:
  // A descriptor, whatever its layout in memory (BCR20).
  struct Descriptor {
    u64 place = 0;  // of the descriptor itself
    u32 buffer = 0;
    u16 status = 0;  // OWN, ERR, ..., STP, ENP
    u16 bytes = 0;   // of the buffer, 1..4096
  };

  [[nodiscard]] u64 read_register(u64 offset, unsigned size);
  void write_register(u64 offset, unsigned size, u64 value);
  [[nodiscard]] u32 read_data(unsigned which);
  void write_data(unsigned which, u32 value);
  [[nodiscard]] u16 read_csr(unsigned index) const;
  void write_csr(unsigned index, u16 value);
  void write_csr0(u16 value);
  [[nodiscard]] u16 read_bcr(unsigned index) const;
  void write_bcr(unsigned index, u16 value);
  void software_reset();
  void stop();
  void initialize();
  void raise(u16 causes);
  void update_interrupt();
  [[nodiscard]] unsigned style() const { return bcr_[20] & 0xffu; }
  [[nodiscard]] bool wide() const { return (bcr_[20] & 0x100) != 0; }
  [[nodiscard]] u32 address(unsigned low_csr) const;
  [[nodiscard]] u32 ring_length(unsigned csr) const;
  [[nodiscard]] bool suspended() const { return (csr_[5] & 1) != 0; }
  [[nodiscard]] Descriptor descriptor(u32 base, u32 index);
  void give_back(const Descriptor& d, u16 status, u16 message_bytes);
  void transmit();
  void gather(const Descriptor& d);
  bool receive(std::span<const u8> frame, const Offload& offload) override;
  void received() override;
  [[nodiscard]] bool accepts(std::span<const u8> frame) const;

  // wires
  NetBackend& backend_;
  // parts
  std::array<u8, 16> prom_{};
  IoWindow<Pcnet> registers_{*this, &Pcnet::read_register, &Pcnet::write_register};
  std::unique_ptr<Region> io_bar_, memory_bar_;
  // state (saved)
  std::array<u16, 128> csr_{};
  std::array<u16, 32> bcr_{};
  u16 rap_ = 0;
  bool doublewords_ = false;  // DWIO
  u32 transmit_next_ = 0, receive_next_ = 0;
  std::vector<u8> frame_;  // being gathered
  bool gathering_ = false;
  bool link_ = true;
  // scratch
  NetCounters counters_;
  bool pending_ = false;
};

}  // namespace emu
