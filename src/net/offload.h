// SPDX-License-Identifier: Apache-2.0
// What cards and hosts otherwise leave to each other, done in software: checksums, TCP
// segmentation, IPv4 fragmentation.
// Source: RFC 1071 (checksum), RFC 791 (IPv4), RFC 8200 (IPv6), RFC 9293 (TCP);
// virtio 1.2, 5.1.6.2. Threads: pure functions.
#pragma once

#include <functional>
#include <span>

#include "base/types.h"
#include "net/net_backend.h"

namespace emu {

using FrameSink = std::function<void(std::span<const u8>)>;

// Where things are in a frame of TCP or UDP over IP; `transport` is 0 if it is something else, a
// later fragment, or cut short.
struct FrameLayout {
  u16 ip = 0;         // offset of the IP header, behind VLAN tags
  u16 transport = 0;  // offset of the TCP or UDP header
  u16 payload = 0;    // offset of what follows it
  u8 version = 0;     // 4 or 6; 0: not IP
  u8 protocol = 0;    // 6: TCP, 17: UDP
  u16 ip_bytes = 0;   // the IP packet's length as its header has it
  [[nodiscard]] bool is_tcp() const { return transport != 0 && protocol == 6; }
};
[[nodiscard]] FrameLayout layout_of(std::span<const u8> frame);

// The Internet checksum's 32-bit running sum (not complemented) over `bytes`.
[[nodiscard]] u32 sum_words(std::span<const u8> bytes, u32 sum = 0);
// Folds and complements.
[[nodiscard]] u16 fold_checksum(u32 sum);

// Fills in what `offload.needs_checksum` leaves open. Offsets outside the frame: nothing happens.
void finish_checksum(std::span<u8> frame, const Offload& offload);

// Makes one large TCP frame correct as it stands: IP length, IP and TCP checksum.
void finish_large(std::span<u8> frame);

// Cuts a large TCP frame into segments of `offload.segment_bytes` (at least 64), each with finished
// headers. Frames that are no TCP go out as they are.
void segment(std::span<const u8> frame, const Offload& offload, const FrameSink& sink);

// Hands out `frame` with everything done: as it is, with its checksum, or in segments.
void finish(std::span<const u8> frame, const Offload& offload, const FrameSink& sink);

// An IPv4 packet longer than `mtu` bytes as fragments; false (and nothing) if it is none, or if the
// packet must not be fragmented.
bool fragment(std::span<const u8> frame, std::size_t mtu, const FrameSink& sink);

// The value field of a SYN's MSS option, or an empty span.
[[nodiscard]] std::span<u8> mss_option(std::span<u8> frame, const FrameLayout& layout);

}  // namespace emu
