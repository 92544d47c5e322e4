// SPDX-License-Identifier: Apache-2.0
// The door between network cards and the host's networks.
#pragma once

#include <functional>
#include <span>

#include "base/types.h"

namespace emu {

// The card's side of incoming frames. Machine lock held.
class NetReceiver {
 public:
  virtual ~NetReceiver() = default;
  // False: the card is full; the backend keeps the frame and waits for receiver_ready().
  virtual bool receive(std::span<const u8> frame) = 0;
};

// A network that frames (Ethernet, without FCS, 14..65535 bytes) go to and come from.
class NetBackend {
 public:
  virtual ~NetBackend() = default;
  virtual void send(std::span<const u8> frame) = 0;
  virtual void set_receiver(NetReceiver* receiver) = 0;
  virtual void receiver_ready() {}
};

// A network nobody is on.
class NullNet final : public NetBackend {
 public:
  void send(std::span<const u8>) override {}
  void set_receiver(NetReceiver*) override {}
};

}  // namespace emu
