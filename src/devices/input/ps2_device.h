// SPDX-License-Identifier: Apache-2.0
// What a PS/2 keyboard or mouse is to the controller at the other end of its cable.
// Source: IBM PS/2 Hardware Interface Technical Reference, "Keyboard and Auxiliary Device
// Controller". Threads: the machine lock is held by every caller.
#pragma once

#include "devices/input/byte_queue.h"

namespace emu {

// The controller's end.
class Ps2Host {
 public:
  virtual ~Ps2Host() = default;
  // A device has bytes to send that it did not have before.
  virtual void byte_ready() = 0;
};

// The device's end: answers to commands go out before events.
class Ps2Device {
 public:
  virtual ~Ps2Device() = default;
  void connect(Ps2Host& host) { host_ = &host; }

  // A command or argument from the host.
  virtual void write(u8 byte) = 0;

  [[nodiscard]] bool has_reply() const { return !replies_.empty(); }
  [[nodiscard]] bool has_event() const { return !events_.empty(); }
  // The next byte to send; only if one of the above is true.
  u8 take() {
    last_sent_ = replies_.empty() ? events_.pop() : replies_.pop();
    if (replies_.empty() && events_.empty()) {
      is_taking_ = true;  // the host looks again by itself
      drained();
      is_taking_ = false;
    }
    return last_sent_;
  }

 protected:
  static constexpr u8 kAcknowledge = 0xfa;
  static constexpr u8 kResend = 0xfe;
  static constexpr u8 kSelfTestPassed = 0xaa;

  void reply(std::initializer_list<u8> bytes) {
    replies_.push(bytes);
    notify();
  }
  // Whether the bytes fitted.
  bool send_event(std::span<const u8> bytes) {
    if (!events_.push(bytes)) return false;
    notify();
    return true;
  }
  void resend() { reply({last_sent_}); }
  void discard_events() { events_.clear(); }
  void discard_all() {
    replies_.clear();
    events_.clear();
  }
  [[nodiscard]] std::size_t event_room() const { return events_.room(); }
  // Both queues became empty.
  virtual void drained() {}
  // Two subsections and tag 100 of the device's own section.
  void transfer_queues(StateIo& io) {
    replies_.transfer(io, "replies");
    events_.transfer(io, "events");
    io.field(100, "last_sent", last_sent_);
  }

 private:
  void notify() {
    if (host_ != nullptr && !is_taking_) host_->byte_ready();
  }

  // wires
  Ps2Host* host_ = nullptr;
  // state (saved)
  ByteQueue<16> replies_;
  ByteQueue<256> events_;
  u8 last_sent_ = 0;
  // scratch
  bool is_taking_ = false;
};

}  // namespace emu
