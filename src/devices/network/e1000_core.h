// SPDX-License-Identifier: Apache-2.0
// Intel 82540EM Gigabit Ethernet controller ("e1000"), the card that every system has a driver for.
// Source: Intel 317453 (8254x software developer's manual).
// Threads: the machine lock is held by every caller.
// Not modelled: receive and transmit delay timers (interrupt throttling is), wake-up, flow control,
// packet split, manageability, half duplex.
#pragma once

#include <memory>
#include <vector>

#include "base/vm_time.h"
#include "devices/io_window.h"
#include "devices/network/e1000_spec.h"
#include "devices/network/microwire_eeprom.h"
#include "devices/network/net_card.h"
#include "devices/pci/pci_device.h"

namespace emu {

class E1000 final : public PciDevice, public NetCard, private NetReceiver {
 public:
  E1000(PciBus& bus, u8 devfn, std::string name, const MacAddress& mac, NetBackend& backend,
        Clock& clock);
  ~E1000() override;

  void reset() override;
  void transfer(StateIo& io) override;
  void resumed() override;

  void set_link(bool up) override;
  [[nodiscard]] bool link() const override { return link_; }
  [[nodiscard]] const NetCounters& counters() const override { return counters_; }

  // The register window (128 KiB, doublewords) and the I/O window onto it (64 bytes).
  [[nodiscard]] IoHandler& registers() { return registers_; }
  [[nodiscard]] IoHandler& io_ports() { return io_ports_; }

 private:
  // What a context descriptor said (3.3.6).
  struct TxContext {
    u8 ip_start = 0, ip_offset = 0, tcp_start = 0, tcp_offset = 0;
    u16 ip_end = 0, tcp_end = 0, mss = 0;
    u8 header_bytes = 0;
    bool tcp = false;
  };

  [[nodiscard]] u64 read_register(u64 offset, unsigned size);
  void write_register(u64 offset, unsigned size, u64 value);
  [[nodiscard]] u64 read_port(u64 offset, unsigned size);
  void write_port(u64 offset, unsigned size, u64 value);
  [[nodiscard]] u32& reg(u32 offset) { return registers_words_[offset / 4]; }
  [[nodiscard]] u32 reg(u32 offset) const { return registers_words_[offset / 4]; }

  void soft_reset();
  void write_control(u32 value);
  // EEPROM and PHY
  void write_eecd(u32 value);
  [[nodiscard]] u32 read_eecd() const;
  void write_mdic(u32 value);
  [[nodiscard]] u16 read_phy(unsigned index) const;
  void write_phy(unsigned index, u16 value);
  // interrupts
  void raise(u32 causes);
  void update_interrupt();
  void throttle_passed();
  // transmitting
  void transmit();
  bool transmit_one(std::span<u8> descriptor);
  void take_context(u32 low, u32 high, u32 command, u32 extra);
  void take_data(u64 address, u32 command, u32 extra);
  void finish_frame(u32 command, u32 extra);
  void send_frame(u8 options);
  void insert_checksum(std::size_t start, std::size_t field, std::size_t end);
  // receiving
  bool receive(std::span<const u8> frame, const Offload& offload) override;
  void received() override;
  [[nodiscard]] bool accepts(std::span<const u8> frame) const;
  [[nodiscard]] bool accepts_address(std::span<const u8> address) const;
  [[nodiscard]] u32 ring_descriptors(u32 length_register) const;
  [[nodiscard]] u32 buffer_bytes() const;
  [[nodiscard]] u32 free_descriptors() const;
  void write_receive_descriptor(std::span<const u8> piece, bool last, u8 status, u16 vlan);
  void count(u32 frames, u32 bytes_low, std::size_t bytes);

  // wires
  NetBackend& backend_;
  Clock& clock_;
  // parts
  IoWindow<E1000> registers_{*this, &E1000::read_register, &E1000::write_register};
  IoWindow<E1000> io_ports_{*this, &E1000::read_port, &E1000::write_port};
  std::unique_ptr<Region> memory_bar_, io_bar_;
  std::unique_ptr<Timer> throttle_;
  MicrowireEeprom eeprom_;
  // state (saved)
  std::array<u32, e1000::kRegisterBytes / 4> registers_words_{};
  std::array<u16, 32> phy_{};
  u32 io_address_ = 0;
  TxContext context_{}, segment_context_{};
  std::vector<u8> frame_;  // being gathered
  u8 frame_options_ = 0;   // POPTS of its first descriptor
  bool frame_segmented_ = false;
  bool frame_started_ = false;
  u64 throttled_until_ns_ = 0;
  bool link_ = true;
  // scratch
  NetCounters counters_;
  bool pending_ = false;  // frames were received since the guest was told
};

}  // namespace emu
