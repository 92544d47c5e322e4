// SPDX-License-Identifier: Apache-2.0
// A serial port that a window shows and types into: nobody else is at its other end.
// Threads: a mutex of its own keeps what was sent; type() takes the machine lock.
#pragma once

#include <deque>
#include <mutex>
#include <string>
#include <vector>

#include "devices/ports/character.h"
#include "machine/control.h"
#include "ui/text_lines.h"

namespace emu {

class SerialView final : public CharBackend {
 public:
  void send(std::span<const u8> bytes) override;
  void set_receiver(CharReceiver* receiver) override { receiver_ = receiver; }
  void receiver_ready() override;

  // The last `count` lines. Any thread.
  [[nodiscard]] std::vector<std::string> last(std::size_t count) const;
  // Sends to the guest, as far as it listens; what is too much waits. Takes the machine lock.
  void type(MachineControl& control, std::string_view text);

 private:
  static constexpr std::size_t kMostWaiting = 65536;

  mutable std::mutex mutex_;
  TextLines lines_;
  // Under the machine lock.
  CharReceiver* receiver_ = nullptr;
  std::deque<u8> waiting_;
};

}  // namespace emu
