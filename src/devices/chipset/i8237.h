// SPDX-License-Identifier: Apache-2.0
// The pair of Intel 8237A DMA controllers of a PC with its page registers: channels 0-3 move bytes,
// 5-7 words; 4 is the cascade.
// Source: Intel 8237A data sheet (order 231466); Intel 82371AB (PIIX4) data sheet 4.2.1 and 4.2.6.
// Threads: the machine lock is held by every caller.
// Not modelled: memory-to-memory transfers and software requests (registers only), the priorities
// between channels and the bus timing (a device's transfer happens at once), the cascade's mask.
#pragma once

#include <array>
#include <span>

#include "devices/device.h"
#include "devices/io_window.h"
#include "memory/address_space.h"

namespace emu {

// What came of a device's request.
struct DmaTransfer {
  std::size_t bytes = 0;        // moved; may be fewer than asked for
  bool terminal_count = false;  // the channel's count ran out
};

class I8237Pair final : public Device {
 public:
  static constexpr unsigned kChannels = 8;

  // `memory` is what the channels read and write.
  explicit I8237Pair(AddressSpace& memory);

  // Ports 00h-0Fh, C0h-DFh and 80h-8Fh; all byte registers.
  [[nodiscard]] IoHandler& low_ports() { return low_ports_; }
  [[nodiscard]] IoHandler& high_ports() { return high_ports_; }
  [[nodiscard]] IoHandler& page_ports() { return page_ports_; }

  // Whether a request on the channel (0..7) would be served now.
  [[nodiscard]] bool is_ready(unsigned channel) const;
  // A device has bytes for memory (the channel's mode must be "write" or "verify"), or wants bytes
  // from it ("read"). Moves whole units until the count runs out; nothing if the channel is not
  // ready or was programmed for the other direction. Call again after a terminal count: an
  // auto-initialized channel starts over.
  DmaTransfer to_memory(unsigned channel, std::span<const u8> bytes);
  DmaTransfer from_memory(unsigned channel, std::span<u8> bytes);

  [[nodiscard]] std::string_view name() const override { return "i8237"; }
  void reset() override;
  void transfer(StateIo& io) override;

 private:
  struct Channel {
    u16 base_address = 0;
    u16 base_count = 0;
    u16 address = 0;  // in units of the channel
    u16 count = 0;    // units minus one
    u8 mode = 0;
  };
  struct Controller {
    std::array<Channel, 4> channels{};
    u8 command = 0;
    u8 status = 0;  // bits 3..0: terminal count reached
    u8 requests = 0;
    u8 mask = 0x0f;
    bool high_byte_next = false;
  };
  enum class Direction : u8 { kVerify = 0, kToMemory = 1, kFromMemory = 2 };

  u64 read_low(u64 offset, unsigned size);
  void write_low(u64 offset, unsigned size, u64 value);
  u64 read_high(u64 offset, unsigned size);
  void write_high(u64 offset, unsigned size, u64 value);
  u64 read_page(u64 offset, unsigned size);
  void write_page(u64 offset, unsigned size, u64 value);

  static u8 read(Controller& c, unsigned reg);
  static void write(Controller& c, unsigned reg, u8 value);
  static void write_channel(Controller& c, unsigned reg, u8 value);
  static void master_clear(Controller& c);

  [[nodiscard]] const Channel& channel(unsigned n) const;
  [[nodiscard]] Direction direction(unsigned n) const;
  [[nodiscard]] u64 memory_address(unsigned n, u16 address) const;
  // Calls `move(address, offset, bytes)` for each piece and does the bookkeeping.
  template <class Move>
  DmaTransfer run(unsigned n, std::size_t bytes, Move&& move);
  bool count_down(unsigned n, std::size_t units);

  // wires
  AddressSpace& memory_;
  // parts
  IoWindow<I8237Pair> low_ports_{*this, &I8237Pair::read_low, &I8237Pair::write_low};
  IoWindow<I8237Pair> high_ports_{*this, &I8237Pair::read_high, &I8237Pair::write_high};
  IoWindow<I8237Pair> page_ports_{*this, &I8237Pair::read_page, &I8237Pair::write_page};
  // state (saved)
  std::array<Controller, 2> controllers_{};
  std::array<u8, 16> pages_{};
};

}  // namespace emu
