// SPDX-License-Identifier: Apache-2.0
// IPv4 fragments of the guest, put together again: libslirp 4.7's own code for it can be made to
// write where it should not, so it never sees a fragment.
// Source: RFC 791, 3.2; RFC 815; RFC 1858 and 5722 (overlapping fragments are refused).
// Threads: none of its own; the owner's thread only.
// Not modelled: no ICMP message is sent about datagrams that stay incomplete.
#pragma once

#include <bitset>
#include <deque>
#include <optional>
#include <span>
#include <vector>

#include "base/types.h"

namespace emu {

class IpReassembly {
 public:
  static constexpr std::size_t kMostDatagrams = 16;  // then the oldest is given up

  // Whether the Ethernet frame is an IPv4 fragment. Others are none of this class's business.
  [[nodiscard]] static bool is_fragment(std::span<const u8> frame);
  // Takes a fragment; returns the whole frame when it was the last that was missing.
  [[nodiscard]] std::optional<std::vector<u8>> take(std::span<const u8> fragment);

  [[nodiscard]] std::size_t datagrams() const { return datagrams_.size(); }

 private:
  static constexpr std::size_t kUnit = 8, kUnits = 8192;
  struct Datagram {
    std::vector<u8> key;        // identification, protocol, addresses
    std::vector<u8> header;     // Ethernet and IP, of the first fragment
    std::vector<u8> payload;    // as far as known
    std::bitset<kUnits> there;  // by 8 bytes
    std::size_t total = 0;      // bytes of payload; 0: the last fragment is missing
  };
  std::deque<Datagram> datagrams_;
};

}  // namespace emu
