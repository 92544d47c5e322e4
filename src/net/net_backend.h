// SPDX-License-Identifier: Apache-2.0
// The door between network cards and the host's networks.
#pragma once

#include <span>

#include "base/types.h"

namespace emu {

// Work on a frame that one side leaves to the other: a checksum still to be filled in, or one large
// TCP segment that stands for many. Field for field virtio 1.2, 5.1.6 (struct virtio_net_hdr).
struct Offload {
  enum class Segments : u8 { kNone = 0, kTcp4 = 1, kTcp6 = 4 };
  bool needs_checksum = false;  // the 16-bit field holds the pseudo-header's sum only
  bool checksum_valid = false;  // the sender vouches for the transport checksum
  Segments segments = Segments::kNone;
  u16 header_bytes = 0;     // kTcp*: Ethernet to the end of the TCP header; a hint
  u16 segment_bytes = 0;    // kTcp*: payload of each segment
  u16 checksum_start = 0;   // needs_checksum: from the frame's first byte
  u16 checksum_offset = 0;  // of the field, from checksum_start

  // Whether the frame can go out as it is.
  [[nodiscard]] bool finished() const { return !needs_checksum && segments == Segments::kNone; }
};

// The card's side of incoming frames. Machine lock held.
class NetReceiver {
 public:
  virtual ~NetReceiver() = default;
  // False: the card is full; the backend keeps the frame and waits for receiver_ready().
  // `offload` is finished() unless takes_offloads().
  virtual bool receive(std::span<const u8> frame, const Offload& offload) = 0;
  // Whether unfinished checksums and segments of up to 65550 bytes are welcome.
  [[nodiscard]] virtual bool takes_offloads() const { return false; }
  // After some receive() calls: the moment to tell the guest.
  virtual void received() {}
};

// A network that frames (Ethernet, without FCS, 14..65550 bytes) go to and come from.
// Threads: the machine lock is held by every caller.
class NetBackend {
 public:
  virtual ~NetBackend() = default;
  // Never fails: what cannot be sent is lost, as on a wire. Frames of other lengths are dropped.
  virtual void send(std::span<const u8> frame, const Offload& offload) = 0;
  void send(std::span<const u8> frame) { send(frame, Offload{}); }
  // nullptr: nobody listens any more.
  virtual void set_receiver(NetReceiver* receiver) = 0;
  // The receiver has room again, or changed its mind about offloads.
  virtual void receiver_ready() {}
  // Frames are handed to the receiver only while the machine runs. It starts stopped.
  virtual void set_running(bool running) { static_cast<void>(running); }
};

inline constexpr std::size_t kMinFrameBytes = 14, kMaxFrameBytes = 65550;

[[nodiscard]] inline bool is_frame_length(std::size_t bytes) {
  return bytes >= kMinFrameBytes && bytes <= kMaxFrameBytes;
}

// A network nobody is on.
class NullNet final : public NetBackend {
 public:
  using NetBackend::send;
  void send(std::span<const u8>, const Offload&) override {}
  void set_receiver(NetReceiver*) override {}
};

}  // namespace emu
