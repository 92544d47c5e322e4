// SPDX-License-Identifier: Apache-2.0
// Realtek RTL8139C Fast Ethernet controller: one ring in, four buffers out.
// Source: Realtek RTL8139C(L) data sheet 1.4; RTL8139 programming guide V0.1.
// Threads: the machine lock is held by every caller.
// Not modelled: C+ mode (it is an RTL8139C, not a C+), wake-up, early interrupts, the timer,
// loopback; a full ring makes frames wait in the network instead of overflowing.
#pragma once

#include <memory>
#include <vector>

#include "devices/io_window.h"
#include "devices/network/microwire_eeprom.h"
#include "devices/network/net_card.h"
#include "devices/pci/pci_device.h"

namespace emu {

class Rtl8139 final : public PciDevice, public NetCard, private NetReceiver {
 public:
  static constexpr u64 kWindowBytes = 256;

  Rtl8139(PciBus& bus, u8 devfn, std::string name, const MacAddress& mac, NetBackend& backend);
  ~Rtl8139() override;

  void reset() override;
  void transfer(StateIo& io) override;
  void resumed() override;

  void set_link(bool up) override;
  [[nodiscard]] bool link() const override { return link_; }
  [[nodiscard]] const NetCounters& counters() const override { return counters_; }
  [[nodiscard]] IoHandler& registers() { return registers_; }

 private:
  [[nodiscard]] u64 read_register(u64 offset, unsigned size);
  void write_register(u64 offset, unsigned size, u64 value);
  [[nodiscard]] u8 read_byte(u32 offset) const;
  void write_byte(u32 offset, u8 value);
  template <class T>
  [[nodiscard]] T reg(u32 offset) const;
  template <class T>
  void set_reg(u32 offset, T value);

  void soft_reset();
  void transmit(unsigned slot);
  void raise(u16 causes);
  void update_interrupt() { set_intx((reg<u16>(0x3e) & reg<u16>(0x3c)) != 0); }
  bool receive(std::span<const u8> frame, const Offload& offload) override;
  void received() override;
  [[nodiscard]] bool accepts(std::span<const u8> frame, u16& status) const;
  [[nodiscard]] u32 ring_bytes() const;
  [[nodiscard]] u32 ring_free() const;
  void put_in_ring(std::span<const u8> bytes);

  // wires
  NetBackend& backend_;
  // parts
  const MacAddress mac_;
  IoWindow<Rtl8139> registers_{*this, &Rtl8139::read_register, &Rtl8139::write_register};
  std::unique_ptr<Region> io_bar_, memory_bar_;
  MicrowireEeprom eeprom_;
  // state (saved)
  std::array<u8, kWindowBytes> bytes_{};
  bool link_ = true;
  // scratch
  NetCounters counters_;
  bool pending_ = false;
};

}  // namespace emu
