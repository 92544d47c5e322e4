// SPDX-License-Identifier: Apache-2.0
// Byte streams between a device (serial port, debug console) and the host.
#pragma once

#include <span>

#include "base/types.h"

namespace emu {

// The device's side of incoming bytes. Machine lock held.
class CharReceiver {
 public:
  virtual ~CharReceiver() = default;
  // How many bytes the device can take now.
  [[nodiscard]] virtual std::size_t can_receive() const = 0;
  // At most can_receive() bytes.
  virtual void receive(std::span<const u8> bytes) = 0;
};

// The host's side: a terminal, file, socket, or nothing. Machine lock held.
class CharBackend {
 public:
  virtual ~CharBackend() = default;
  // Takes all bytes; never blocks for long.
  virtual void send(std::span<const u8> bytes) = 0;
  // At most one receiver; nullptr disconnects.
  virtual void set_receiver(CharReceiver* receiver) = 0;
  // The device can take more: bytes held back may come now.
  virtual void receiver_ready() {}
};

// Swallows everything.
class NullChar final : public CharBackend {
 public:
  void send(std::span<const u8>) override {}
  void set_receiver(CharReceiver*) override {}
};

}  // namespace emu
