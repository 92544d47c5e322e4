// SPDX-License-Identifier: Apache-2.0
// What Intel's Gigabit Ethernet controllers have in common, from the 8254x to the 82574: registers,
// EEPROM words, PHY, transmit descriptors, filters, legacy receive descriptors.
// Source: Intel 317453 (8254x software developer's manual), Intel 317694 (82574 data sheet).
// Threads: the machine lock is held by every caller.
// Not modelled: receive and transmit delay timers (interrupt throttling is), wake-up, flow control,
// manageability, half duplex.
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

class E1000Core : public PciDevice, public NetCard, private NetReceiver {
 public:
  ~E1000Core() override;

  void reset() override;
  void transfer(StateIo& io) override;
  void resumed() override;

  void set_link(bool up) override;
  [[nodiscard]] bool link() const override { return link_; }
  [[nodiscard]] const NetCounters& counters() const override { return counters_; }

  // The register window (128 KiB, doublewords) and the I/O window onto it.
  [[nodiscard]] IoHandler& registers() { return registers_; }
  [[nodiscard]] IoHandler& io_ports() { return io_ports_; }

 protected:
  static constexpr unsigned kMaxQueues = 2;  // of each direction
  using NvmWords = MicrowireEeprom::Words;

  // What tells the chips apart.
  struct Chip {
    PciIdentity identity;
    unsigned io_bar, io_bytes;  // which BAR the I/O window is
    u16 phy_id2;
    u32 causes;       // bits of ICR, ICS, IMS, IMC
    unsigned queues;  // 1..kMaxQueues
  };
  // `words` are the EEPROM's; the address and the checksum are filled in.
  E1000Core(PciBus& bus, u8 devfn, std::string name, const Chip& chip, NvmWords words,
            const MacAddress& mac, NetBackend& backend, Clock& clock);

  // What a chip has besides; each calls the core's for the rest.
  [[nodiscard]] virtual u64 read_register(u64 offset, unsigned size);
  virtual void write_register(u64 offset, unsigned size, u64 value);
  virtual void reset_chip() {}
  virtual void transfer_chip(StateIo& io) { static_cast<void>(io); }
  virtual void resumed_chip() {}

  // Interrupts: new causes; the wire's or the messages' state after a change of ICR or IMS; the
  // level that the chip's one interrupt is to have.
  virtual void raise(u32 causes);
  virtual void update_interrupt();
  virtual void set_interrupt(bool active) { set_intx(active); }
  // Causes besides the general ones that tell of one queue.
  [[nodiscard]] virtual u32 sent_cause(unsigned queue) const { return static_cast<void>(queue), 0; }
  [[nodiscard]] virtual u32 received_cause(unsigned queue) const {
    return static_cast<void>(queue), 0;
  }

  // A frame on its way into descriptors.
  struct Arriving {
    unsigned queue = 0;
    u8 status = 0;  // low byte of the descriptor's status
    u16 vlan = 0;
    std::size_t header_bytes = 0;  // Ethernet to the end of TCP or UDP headers; 0: unknown
    u32 hash = 0;
    u8 hash_type = 0;
  };
  virtual void classify(std::span<const u8> frame, Arriving& arriving) const {
    static_cast<void>(frame), static_cast<void>(arriving);
  }
  [[nodiscard]] virtual u32 receive_descriptor_bytes() const;
  // The bytes that a descriptor takes at least; may be 0.
  [[nodiscard]] virtual u32 buffer_bytes() const;
  // Writes the start of `rest` to the buffers of `descriptor` and what is to be known into it.
  // Returns the number of bytes that it took.
  virtual std::size_t fill_descriptor(std::span<u8> descriptor, std::span<const u8> rest,
                                      const Arriving& arriving, bool first);

  [[nodiscard]] u32& reg(u32 offset) { return registers_words_[offset / 4]; }
  [[nodiscard]] u32 reg(u32 offset) const { return registers_words_[offset / 4]; }
  // The register of a queue's ring, from queue 0's.
  [[nodiscard]] static u32 of_queue(u32 offset, unsigned queue) {
    return offset + queue * e1000::kQueueStep;
  }
  void transmit(unsigned queue);
  void receiver_ready() { backend_.receiver_ready(); }
  [[nodiscard]] u16 nvm_word(unsigned index) const { return eeprom_.word(index); }
  [[nodiscard]] Clock& clock() const { return clock_; }

 private:
  // What a context descriptor said (3.3.6).
  struct TxContext {
    u8 ip_start = 0, ip_offset = 0, tcp_start = 0, tcp_offset = 0;
    u16 ip_end = 0, tcp_end = 0, mss = 0;
    u8 header_bytes = 0;
    bool tcp = false;
  };
  // A frame that is being gathered.
  struct TxQueue {
    TxContext context, segment_context;
    std::vector<u8> frame;
    u8 options = 0;  // POPTS of its first descriptor
    bool segmented = false;
    bool started = false;
  };

  [[nodiscard]] u64 read_window(u64 offset, unsigned size) { return read_register(offset, size); }
  void write_window(u64 offset, unsigned size, u64 value) { write_register(offset, size, value); }
  [[nodiscard]] u64 read_port(u64 offset, unsigned size);
  void write_port(u64 offset, unsigned size, u64 value);

  void soft_reset();
  void write_control(u32 value);
  // EEPROM and PHY
  void write_eecd(u32 value);
  [[nodiscard]] u32 read_eecd() const;
  void write_mdic(u32 value);
  [[nodiscard]] u16 read_phy(unsigned index) const;
  void write_phy(unsigned index, u16 value);
  // interrupts
  void throttle_passed();
  // transmitting
  bool transmit_one(TxQueue& queue, std::span<u8> descriptor);
  static void take_context(TxQueue& queue, u64 address, u32 command, u32 extra);
  void take_data(TxQueue& queue, u64 address, u32 command, u32 extra);
  void finish_frame(TxQueue& queue, u32 command, u32 extra);
  void send_frame(TxQueue& queue);
  static void transfer_queue(StateIo& io, TxQueue& queue);
  // receiving
  bool receive(std::span<const u8> frame, const Offload& offload) override;
  void received() override;
  [[nodiscard]] bool accepts(std::span<const u8> frame) const;
  [[nodiscard]] bool accepts_address(std::span<const u8> address) const;
  [[nodiscard]] u32 units() const;
  [[nodiscard]] u32 receive_ring(unsigned queue) const;
  [[nodiscard]] u32 free_descriptors(unsigned queue) const;
  bool store(std::span<const u8> frame, const Arriving& arriving);
  void count(u32 frames, u32 bytes_low, std::size_t bytes);

  // wires
  NetBackend& backend_;
  Clock& clock_;
  // parts
  const Chip chip_;
  IoWindow<E1000Core> registers_{*this, &E1000Core::read_window, &E1000Core::write_window};
  IoWindow<E1000Core> io_ports_{*this, &E1000Core::read_port, &E1000Core::write_port};
  std::unique_ptr<Region> memory_bar_, io_bar_;
  std::unique_ptr<Timer> throttle_;
  MicrowireEeprom eeprom_;
  // state (saved)
  std::array<u32, e1000::kRegisterBytes / 4> registers_words_{};
  std::array<u16, 32> phy_{};
  u32 io_address_ = 0;
  std::array<TxQueue, kMaxQueues> tx_{};
  u64 throttled_until_ns_ = 0;
  bool link_ = true;
  // scratch
  NetCounters counters_;
  u32 pending_ = 0;  // queues whose frames the guest was not yet told of, a bit each
};

}  // namespace emu
