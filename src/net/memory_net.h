// SPDX-License-Identifier: Apache-2.0
// A network that is a list in memory: for tests of cards.
#pragma once

#include <vector>

#include "net/net_backend.h"

namespace emu {

class MemoryNet final : public NetBackend {
 public:
  struct Frame {
    std::vector<u8> bytes;
    Offload offload;
  };
  using NetBackend::send;
  void send(std::span<const u8> frame, const Offload& offload) override {
    sent.push_back({{frame.begin(), frame.end()}, offload});
  }
  void set_receiver(NetReceiver* receiver) override { receiver_ = receiver; }
  void receiver_ready() override { ++ready_calls; }
  [[nodiscard]] NetReceiver* receiver() const { return receiver_; }
  // Hands the card a frame, as after a poll; false: it is full.
  bool arrive(std::span<const u8> frame, const Offload& offload = {}) {
    const bool taken = receiver_ != nullptr && receiver_->receive(frame, offload);
    if (taken) receiver_->received();
    return taken;
  }

  std::vector<Frame> sent;
  unsigned ready_calls = 0;

 private:
  NetReceiver* receiver_ = nullptr;
};

}  // namespace emu
