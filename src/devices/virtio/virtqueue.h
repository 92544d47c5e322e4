// SPDX-License-Identifier: Apache-2.0
// A virtqueue from the device's side: takes the guest's buffers out of a ring in guest RAM and
// returns them used. Split and packed rings, indirect descriptors, event suppression.
// Source: VIRTIO 1.2: 2.6 to 2.8.
// Threads: the machine lock is held by every caller; the guest's processors write meanwhile.
// Not modelled: rings outside RAM (the device then needs a reset), in-order completion, per-queue
// reset.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "base/state_io.h"
#include "devices/guest_window.h"
#include "devices/virtio/virtio_spec.h"

namespace emu {

// A piece of guest memory as a descriptor names it; nothing is known of it yet.
struct VirtioBuffer {
  u64 address = 0;
  u32 length_bytes = 0;
};

// One request: what the device may read, then what it may write.
struct VirtioChain {
  u16 id = 0;     // for push(): head index, or a packed ring's buffer id
  u16 slots = 1;  // descriptors it took in the ring
  std::vector<VirtioBuffer> readable;
  std::vector<VirtioBuffer> writable;

  // Maps all readable (or writable) buffers in order; false if one is not plain RAM.
  [[nodiscard]] bool map_readable(const AddressSpace& memory, DmaList& out) const;
  [[nodiscard]] bool map_writable(const AddressSpace& memory, DmaList& out) const;
  // For devices that save requests in flight.
  void transfer(StateIo& io, u16 tag);
};

class VirtQueue {
 public:
  static constexpr u16 kMaxSize = 1024;
  // Most descriptors in one chain, those of an indirect table included.
  static constexpr unsigned kMaxDescriptors = 1024;

  // Where the guest put the three parts (2.6); the packed ring's names in brackets.
  struct Layout {
    u64 descriptors = 0;
    u64 driver = 0;  // available ring (driver event suppression)
    u64 device = 0;  // used ring (device event suppression)
    bool operator==(const Layout&) const = default;
  };

  // `max_size` is a power of two of at most kMaxSize. `memory` outlives this.
  VirtQueue(AddressSpace& memory, u16 max_size);

  // What the transport does for the guest.
  [[nodiscard]] u16 max_size() const { return max_size_; }
  [[nodiscard]] u16 size() const { return size_; }
  // 1..max_size(), a power of two for split rings; other values are ignored. Not while enabled.
  void set_size(u16 size);
  [[nodiscard]] const Layout& layout() const { return layout_; }
  void set_layout(const Layout& layout) { layout_ = layout; }
  [[nodiscard]] bool enabled() const { return enabled_; }
  // `features` are the negotiated ones.
  void enable(u64 features);
  void disable() { enabled_ = false; }
  void reset();

  // What the device model does. The next chain that the guest made available, if there is one. A
  // ring that makes no sense gives none, and is_broken() from then on.
  [[nodiscard]] std::optional<VirtioChain> pop();
  [[nodiscard]] bool has_available();
  // Puts the last popped chain back, as if it had not been taken.
  void unpop(const VirtioChain& chain);
  // Returns a chain with `written_bytes` of its writable part filled, from the start.
  void push(const VirtioChain& chain, u32 written_bytes);
  // Whether the guest wants an interrupt for what was pushed since this was last asked.
  [[nodiscard]] bool take_interrupt();
  // Whether the guest shall notify when it makes more available (a hint). After asking for
  // notifications, look at has_available() once more.
  void want_notifications(bool wanted);
  [[nodiscard]] bool is_broken() const { return !complaint_.empty(); }
  // What is wrong with the ring, for the log.
  [[nodiscard]] std::string_view complaint() const { return complaint_; }

  void transfer(StateIo& io);
  void resumed();

 private:
  struct Descriptor {
    u64 address;
    u32 length_bytes;
    u16 flags;
    u16 next;  // split: index; packed: buffer id
  };
  class ChainBuilder;

  [[nodiscard]] bool is_packed() const { return (features_ & virtio::kFeaturePacked) != 0; }
  [[nodiscard]] bool has_event_index() const {
    return (features_ & virtio::kFeatureEventIndex) != 0;
  }
  bool ready();
  bool map_parts();
  void fail(std::string_view complaint) { complaint_ = complaint; }
  [[nodiscard]] Descriptor descriptor(const GuestWindow& table, u64 index) const;
  bool take_indirect(const Descriptor& d, ChainBuilder& out);

  [[nodiscard]] std::optional<VirtioChain> pop_split();
  bool walk_split(const GuestWindow& table, u64 entries, u64 index, ChainBuilder& out);
  void push_split(const VirtioChain& chain, u32 written_bytes);
  [[nodiscard]] bool take_interrupt_split();

  [[nodiscard]] bool is_packed_available(u16 flags) const;
  [[nodiscard]] std::optional<VirtioChain> pop_packed();
  void push_packed(const VirtioChain& chain, u32 written_bytes);
  [[nodiscard]] bool take_interrupt_packed();
  void want_packed(bool wanted);
  void advance(u16& position, bool& wrap, u16 slots) const;

  // wires
  AddressSpace& memory_;
  // parts
  const u16 max_size_;
  // state (saved)
  u16 size_;
  bool enabled_ = false;
  Layout layout_;
  u64 features_ = 0;
  u16 next_available_ = 0;  // split: free-running; packed: position
  u16 next_used_ = 0;       // likewise
  u16 last_signalled_ = 0;  // next_used_ when the guest was last asked about interrupts
  bool signalled_known_ = false;
  bool available_wrap_ = true;  // packed
  bool used_wrap_ = true;       // packed
  bool wants_notifications_ = true;
  // scratch (rebuilt)
  bool mapped_ = false;
  GuestWindow descriptors_;
  GuestWindow driver_;
  GuestWindow device_;
  std::string_view complaint_;
};

}  // namespace emu
