// SPDX-License-Identifier: Apache-2.0
#include "devices/chipset/i8237.h"

#include <algorithm>

namespace emu {
namespace {

// Registers 0..7 are the channels' addresses and counts.
enum Register : unsigned {
  kStatusCommand = 8,
  kRequest = 9,
  kSingleMask = 10,
  kMode = 11,
  kClearFlipFlop = 12,
  kTemporaryMasterClear = 13,
  kClearMask = 14,
  kAllMask = 15,
};

constexpr u8 kCommandDisable = 0x04;
constexpr u8 kModeAutoInitialize = 0x10;
constexpr u8 kModeDecrement = 0x20;
constexpr u8 kSetBit = 0x04;  // in the single mask and request registers
constexpr unsigned kFirstWordChannel = 4;

// Which page register (port 80h + n) belongs to which channel.
constexpr std::array<u8, I8237Pair::kChannels> kPageOf{7, 3, 1, 2, 15, 11, 9, 10};

constexpr u8 channel_bit(unsigned n) {
  return static_cast<u8>(1u << (n & 3));
}

constexpr u8 with_bit(u8 set, u8 mask, bool on) {
  return static_cast<u8>(on ? set | mask : set & ~mask);
}

u16 with_byte(u16 word, bool high, u8 byte) {
  return static_cast<u16>(high ? (word & 0x00ff) | byte << 8 : (word & 0xff00) | byte);
}

}  // namespace

I8237Pair::I8237Pair(AddressSpace& memory) : memory_(memory) {
  reset();
}

void I8237Pair::reset() {
  controllers_ = {};
  pages_.fill(0);
}

void I8237Pair::master_clear(Controller& c) {
  c.command = 0;
  c.status = 0;
  c.requests = 0;
  c.mask = 0x0f;
  c.high_byte_next = false;
}

// --- Registers ---

u8 I8237Pair::read(Controller& c, unsigned reg) {
  if (reg < kStatusCommand) {
    const Channel& ch = c.channels[reg / 2];
    const u16 word = reg % 2 == 0 ? ch.address : ch.count;
    const bool high = c.high_byte_next;
    c.high_byte_next = !high;
    return static_cast<u8>(high ? word >> 8 : word);
  }
  switch (reg) {
    case kStatusCommand: {
      const u8 status = static_cast<u8>(c.status | c.requests << 4);
      c.status = 0;
      return status;
    }
    case kAllMask:
      return static_cast<u8>(0xf0 | c.mask);
    default:
      return 0;
  }
}

void I8237Pair::write_channel(Controller& c, unsigned reg, u8 value) {
  Channel& ch = c.channels[reg / 2];
  const bool high = c.high_byte_next;
  c.high_byte_next = !high;
  if (reg % 2 == 0) {
    ch.address = ch.base_address = with_byte(ch.base_address, high, value);
  } else {
    ch.count = ch.base_count = with_byte(ch.base_count, high, value);
  }
}

void I8237Pair::write(Controller& c, unsigned reg, u8 value) {
  if (reg < kStatusCommand) return write_channel(c, reg, value);
  switch (reg) {
    case kStatusCommand:
      c.command = value;
      break;
    case kRequest:
      c.requests = with_bit(c.requests, channel_bit(value), (value & kSetBit) != 0);
      break;
    case kSingleMask:
      c.mask = with_bit(c.mask, channel_bit(value), (value & kSetBit) != 0);
      break;
    case kMode:
      c.channels[value & 3].mode = value;
      break;
    case kClearFlipFlop:
      c.high_byte_next = false;
      break;
    case kTemporaryMasterClear:
      master_clear(c);
      break;
    case kClearMask:
      c.mask = 0;
      break;
    default:
      c.mask = value & 0x0f;
      break;
  }
}

u64 I8237Pair::read_low(u64 offset, unsigned) {
  return read(controllers_[0], offset & 15);
}
void I8237Pair::write_low(u64 offset, unsigned, u64 value) {
  write(controllers_[0], offset & 15, static_cast<u8>(value));
}
// The second controller sits on the bus shifted by one address line.
u64 I8237Pair::read_high(u64 offset, unsigned) {
  return read(controllers_[1], offset / 2 & 15);
}
void I8237Pair::write_high(u64 offset, unsigned, u64 value) {
  write(controllers_[1], offset / 2 & 15, static_cast<u8>(value));
}
u64 I8237Pair::read_page(u64 offset, unsigned) {
  return pages_[offset & 15];
}
void I8237Pair::write_page(u64 offset, unsigned, u64 value) {
  pages_[offset & 15] = static_cast<u8>(value);
}

// --- Transfers ---

const I8237Pair::Channel& I8237Pair::channel(unsigned n) const {
  return controllers_[n / 4 & 1].channels[n & 3];
}

I8237Pair::Direction I8237Pair::direction(unsigned n) const {
  return static_cast<Direction>(channel(n).mode >> 2 & 3);
}

bool I8237Pair::is_ready(unsigned n) const {
  const Controller& c = controllers_[n / 4 & 1];
  return n != kFirstWordChannel && (c.command & kCommandDisable) == 0 &&
         (c.mask & channel_bit(n)) == 0;
}

u64 I8237Pair::memory_address(unsigned n, u16 address) const {
  const u64 page = pages_[kPageOf[n & 7]];
  if (n < kFirstWordChannel) return page << 16 | address;
  return (page & 0xfe) << 16 | u64{address} << 1;
}

// Counts `units` (at most what is left) down; returns whether that was the last.
bool I8237Pair::count_down(unsigned n, std::size_t units) {
  Controller& c = controllers_[n / 4 & 1];
  Channel& ch = c.channels[n & 3];
  const u16 step = static_cast<u16>(units);
  const bool terminal = units == std::size_t{ch.count} + 1;
  ch.address =
      static_cast<u16>((ch.mode & kModeDecrement) != 0 ? ch.address - step : ch.address + step);
  ch.count = static_cast<u16>(ch.count - step);
  if (!terminal) return false;
  c.status |= channel_bit(n);
  c.requests = with_bit(c.requests, channel_bit(n), false);
  if ((ch.mode & kModeAutoInitialize) != 0) {
    ch.address = ch.base_address;
    ch.count = ch.base_count;
  } else {
    c.mask |= channel_bit(n);
  }
  return true;
}

template <class Move>
DmaTransfer I8237Pair::run(unsigned n, std::size_t bytes, Move&& move) {
  DmaTransfer result;
  if (!is_ready(n)) return result;
  const std::size_t unit = n < kFirstWordChannel ? 1 : 2;
  const bool down = (channel(n).mode & kModeDecrement) != 0;
  while (!result.terminal_count) {
    const Channel& ch = channel(n);
    // The address wraps inside its page; downwards, every unit is a piece of its own.
    const std::size_t in_page = down ? 1 : 0x10000 - std::size_t{ch.address};
    const std::size_t units =
        std::min({std::size_t{ch.count} + 1, (bytes - result.bytes) / unit, in_page});
    if (units == 0) break;
    move(memory_address(n, ch.address), result.bytes, units * unit);
    result.bytes += units * unit;
    result.terminal_count = count_down(n, units);
  }
  return result;
}

DmaTransfer I8237Pair::to_memory(unsigned n, std::span<const u8> bytes) {
  n &= 7;
  const Direction mode = direction(n);
  if (mode != Direction::kToMemory && mode != Direction::kVerify) return {};
  return run(n, bytes.size(), [&](u64 address, std::size_t offset, std::size_t length) {
    if (mode == Direction::kToMemory) memory_.write(address, bytes.subspan(offset, length));
  });
}

DmaTransfer I8237Pair::from_memory(unsigned n, std::span<u8> bytes) {
  n &= 7;
  if (direction(n) != Direction::kFromMemory) return {};
  return run(n, bytes.size(), [&](u64 address, std::size_t offset, std::size_t length) {
    memory_.read(address, bytes.subspan(offset, length));
  });
}

void I8237Pair::transfer(StateIo& io) {
  static constexpr std::array<std::string_view, 2> kControllers{"low", "high"};
  static constexpr std::array<std::string_view, 4> kChannelNames{"channel0", "channel1", "channel2",
                                                                 "channel3"};
  io.section(name(), 1, [&] {
    io.field(1, "pages", pages_);
    for (unsigned i = 0; i < 2; ++i) {
      Controller& c = controllers_[i];
      io.section(kControllers[i], 1, [&] {
        io.field(1, "command", c.command);
        io.field(2, "status", c.status);
        io.field(3, "requests", c.requests);
        io.field(4, "mask", c.mask);
        io.field(5, "high_byte_next", c.high_byte_next);
        for (unsigned k = 0; k < 4; ++k) {
          Channel& ch = c.channels[k];
          io.section(kChannelNames[k], 1, [&] {
            io.field(1, "base_address", ch.base_address);
            io.field(2, "base_count", ch.base_count);
            io.field(3, "address", ch.address);
            io.field(4, "count", ch.count);
            io.field(5, "mode", ch.mode);
          });
        }
      });
    }
  });
}

}  // namespace emu
