// SPDX-License-Identifier: Apache-2.0
// A character backend that keeps what the device sends and types what the test says.
#pragma once

#include <string>

#include "devices/ports/character.h"

namespace emu {

class RecordingChar final : public CharBackend {
 public:
  void send(std::span<const u8> bytes) override { text_.append(bytes.begin(), bytes.end()); }
  void set_receiver(CharReceiver* receiver) override { receiver_ = receiver; }
  void receiver_ready() override { deliver(); }

  // Gives `text` to the device as fast as it takes it.
  void type(std::string_view text) {
    waiting_ += text;
    deliver();
  }
  [[nodiscard]] std::string take_text() { return std::exchange(text_, {}); }
  // What the device could not take yet.
  [[nodiscard]] const std::string& waiting() const { return waiting_; }

 private:
  void deliver() {
    while (receiver_ != nullptr && !waiting_.empty() && receiver_->can_receive() != 0) {
      const std::size_t n = std::min(receiver_->can_receive(), waiting_.size());
      const std::string now = waiting_.substr(0, n);
      waiting_.erase(0, n);
      receiver_->receive(std::span(reinterpret_cast<const u8*>(now.data()), n));
    }
  }

  CharReceiver* receiver_ = nullptr;
  std::string text_;
  std::string waiting_;
};

}  // namespace emu
