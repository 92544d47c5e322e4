// SPDX-License-Identifier: Apache-2.0
// National DP8390 network interface controller with an NE2000's 16 KiB of memory, address PROM and
// data port around it: what all NE2000 cards have in common.
// Source: National DP8390D/NS32490D data sheet; Realtek RTL8029AS data sheet (page 0 identity).
// Threads: the machine lock is held by every caller.
// Not modelled: loopback (frames sent in it go nowhere), collisions, early or bad frames; a full
// ring makes frames wait in the network instead of overflowing.
#pragma once

#include <array>
#include <functional>
#include <vector>

#include "devices/network/net_card.h"
#include "memory/io_handler.h"

namespace emu {

class StateIo;

// The 32 ports of a card. The card around it says where they are and where the interrupt goes.
class Dp8390 final : public IoHandler, public NetCard, private NetReceiver {
 public:
  static constexpr u64 kWindowBytes = 32;
  static constexpr AccessSizes kSizes{1, 4, false};
  // `interrupt` hears the pin's level at every change.
  Dp8390(const MacAddress& mac, NetBackend& backend, std::function<void(bool)> interrupt);
  ~Dp8390() override;

  void reset();
  // Adds a section of its own.
  void transfer(StateIo& io);
  void resumed();
  [[nodiscard]] bool interrupt_level() const { return (isr_ & imr_) != 0; }

  [[nodiscard]] u64 read(u64 offset, unsigned size) override;
  void write(u64 offset, unsigned size, u64 value) override;

  void set_link(bool up) override;
  [[nodiscard]] bool link() const override { return link_; }
  [[nodiscard]] const NetCounters& counters() const override { return counters_; }

 private:
  static constexpr u32 kMemoryAt = 0x4000, kMemoryBytes = 0x4000, kPromBytes = 32;

  void reset_pin();
  [[nodiscard]] u8 read_register(unsigned index) const;
  void write_register(unsigned index, u8 value);
  void write_page0(unsigned index, u8 value);
  void write_command(u8 value);
  void transmit();
  void raise(u8 causes);
  [[nodiscard]] u64 read_data(unsigned size);
  void write_data(unsigned size, u64 value);
  [[nodiscard]] bool remote_step();
  [[nodiscard]] u8 memory(u32 address) const;
  void set_memory(u32 address, u8 value);
  bool receive(std::span<const u8> frame, const Offload& offload) override;
  void received() override;
  [[nodiscard]] bool accepts(std::span<const u8> frame) const;
  [[nodiscard]] u32 ring_pages() const { return stop_ > start_ ? u32{stop_} - start_ : 0; }
  [[nodiscard]] u32 boundary() const;
  [[nodiscard]] u32 free_pages() const;
  [[nodiscard]] bool ring_read() const;

  // wires
  NetBackend& backend_;
  std::function<void(bool)> interrupt_;
  // parts
  std::array<u8, kPromBytes> prom_{};
  // state (saved)
  std::array<u8, kMemoryBytes> memory_{};
  std::array<u8, 6> address_{};
  std::array<u8, 8> multicast_{};
  u8 command_ = 0, start_ = 0, stop_ = 0, boundary_ = 0, current_ = 0;
  u8 transmit_page_ = 0, transmit_status_ = 0, isr_ = 0, imr_ = 0;
  u8 receive_control_ = 0, transmit_control_ = 0, data_control_ = 0, receive_status_ = 0;
  u16 transmit_bytes_ = 0, remote_address_ = 0, remote_bytes_ = 0;
  bool link_ = true;
  // scratch
  NetCounters counters_;
  bool pending_ = false;
};

}  // namespace emu
