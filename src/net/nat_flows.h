// SPDX-License-Identifier: Apache-2.0
// What the user network knows of the guest's TCP connections and its library does not: how large
// the guest wants its segments, and which connections are over.
// Source: RFC 9293, 3.6 (closing), 3.7.1 (MSS); libslirp 4.7, where a connection whose host closed
// it first keeps its descriptor and 256 KiB of buffers for ten seconds. Nothing is late on a wire
// that loses and delays nothing, so such a connection can go at once.
// Threads: none of its own; the owner's thread only.
#pragma once

#include <span>
#include <unordered_map>
#include <vector>

#include "base/types.h"
#include "net/offload.h"

namespace emu {

class NatFlows {
 public:
  static constexpr std::size_t kMostFlows = 8192;  // then old ones are forgotten

  // Looks at a frame on its way to the library. The MSS in its SYN is made `large_mss` at least, so
  // that the library sends large segments; segment_bytes() says how they are to be cut.
  void from_guest(std::span<u8> frame, u16 large_mss);
  // Looks at a frame of the library.
  void from_library(std::span<const u8> frame, const FrameLayout& layout);
  // The payload of a segment to the guest on this connection, at most `whole`.
  [[nodiscard]] u16 segment_bytes(std::span<const u8> frame, const FrameLayout& layout,
                                  u16 whole) const;
  // A reset, as if from the guest, for each connection that is over: the library forgets it then.
  [[nodiscard]] std::vector<std::vector<u8>> take_resets();

  [[nodiscard]] std::size_t flows() const { return flows_.size(); }

 private:
  struct Flow {
    u32 guest_start = 0;     // the sequence number of its SYN
    u32 guest_end = 0;       // the number behind its FIN
    u32 library_end = 0;     // behind the library's FIN
    bool guest_fin = false;  // sent
    bool library_fin = false;
    bool library_fin_known = false;  // the guest has acknowledged it
    u16 small_mss = 0;               // 0: what fits Ethernet
  };
  using Flows = std::unordered_map<u32, Flow>;
  void forget(Flows::iterator it);

  Flows flows_;
  std::size_t closing_ = 0;    // flows with library_fin
  std::size_t small_mss_ = 0;  // flows with one
  std::vector<std::vector<u8>> resets_;
};

}  // namespace emu
