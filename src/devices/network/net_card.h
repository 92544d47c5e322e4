// SPDX-License-Identifier: Apache-2.0
// What every network card has besides its registers.
#pragma once

#include <array>
#include <span>

#include "base/types.h"
#include "net/net_backend.h"

namespace emu {

using MacAddress = std::array<u8, 6>;

// Frames and bytes that went through, for people.
struct NetCounters {
  u64 sent_frames = 0, sent_bytes = 0;
  u64 received_frames = 0, received_bytes = 0;
  u64 dropped_frames = 0;  // for the guest, but it had no room or no interest
};

// A card's link and counters. Machine lock held.
class NetCard {
 public:
  virtual ~NetCard() = default;
  // Plugs the cable in or pulls it; the guest is told as the chip tells it.
  virtual void set_link(bool up) = 0;
  [[nodiscard]] virtual bool link() const = 0;
  [[nodiscard]] virtual const NetCounters& counters() const = 0;
};

inline constexpr MacAddress kBroadcastMac{0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
inline constexpr std::size_t kMinEthernetBytes = 60;  // without FCS; shorter frames are padded

// The frame with zeros up to the shortest length a wire carries, in `buffer` if it needs them.
[[nodiscard]] inline std::span<const u8> padded(std::span<const u8> frame,
                                                std::array<u8, kMinEthernetBytes>& buffer) {
  if (frame.size() >= kMinEthernetBytes) return frame;
  buffer.fill(0);
  std::copy(frame.begin(), frame.end(), buffer.begin());
  return buffer;
}

// The high bits of the CRC-32 of a multicast address, as most chips index their hash filters:
// Ethernet's polynomial, bits as they go over the wire.
[[nodiscard]] inline u32 ethernet_crc(std::span<const u8> bytes) {
  u32 crc = ~u32{0};
  for (u8 byte : bytes) {
    for (int i = 0; i < 8; ++i, byte = static_cast<u8>(byte >> 1)) {
      const bool carry = ((crc >> 31) ^ (byte & 1u)) != 0;
      crc <<= 1;
      if (carry) crc ^= 0x04c11db7;
    }
  }
  return crc;
}

}  // namespace emu
