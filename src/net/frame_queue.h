// SPDX-License-Identifier: Apache-2.0
// Frames in a row, in one growing buffer: nothing is allocated once it has its size.
// Threads: none of its own; the owner locks.
#pragma once

#include <span>
#include <vector>

#include "net/net_backend.h"

namespace emu {

// First in, first out, at most `limit_bytes`; what does not fit is dropped.
class FrameQueue {
 public:
  explicit FrameQueue(std::size_t limit_bytes) : limit_bytes_(limit_bytes) {}

  // False: full, the frame is lost.
  bool push(std::span<const u8> frame, const Offload& offload) {
    if (bytes_.size() + frame.size() > limit_bytes_) compact();
    if (bytes_.size() + frame.size() > limit_bytes_) return false;
    places_.push_back({bytes_.size(), frame.size(), offload});
    bytes_.insert(bytes_.end(), frame.begin(), frame.end());
    return true;
  }
  [[nodiscard]] bool empty() const { return next_ == places_.size(); }
  [[nodiscard]] std::size_t frames() const { return places_.size() - next_; }
  // The oldest frame; the queue is not empty. Valid until the queue changes.
  [[nodiscard]] std::span<u8> front() {
    const Place& place = places_[next_];
    return std::span(bytes_).subspan(place.offset, place.length);
  }
  [[nodiscard]] const Offload& front_offload() const { return places_[next_].offload; }
  void pop() {
    if (++next_ == places_.size()) clear();
  }
  void clear() {
    bytes_.clear();
    places_.clear();
    next_ = 0;
  }
  // Whether nothing more should be produced for it.
  [[nodiscard]] bool half_full() const { return bytes_.size() > limit_bytes_ / 2; }
  void swap(FrameQueue& other) noexcept {
    bytes_.swap(other.bytes_);
    places_.swap(other.places_);
    std::swap(next_, other.next_);
  }

 private:
  struct Place {
    std::size_t offset, length;
    Offload offload;
  };
  // Forgets what was popped.
  void compact() {
    if (next_ == 0) return;
    const std::size_t gone = places_[next_].offset;
    bytes_.erase(bytes_.begin(), bytes_.begin() + static_cast<std::ptrdiff_t>(gone));
    places_.erase(places_.begin(), places_.begin() + static_cast<std::ptrdiff_t>(next_));
    for (Place& place : places_) place.offset -= gone;
    next_ = 0;
  }

  const std::size_t limit_bytes_;
  std::vector<u8> bytes_;
  std::vector<Place> places_;
  std::size_t next_ = 0;
};

}  // namespace emu
