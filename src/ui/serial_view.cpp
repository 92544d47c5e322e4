// SPDX-License-Identifier: Apache-2.0
#include "ui/serial_view.h"

#include <algorithm>

namespace emu {

void SerialView::send(std::span<const u8> bytes) {
  const std::lock_guard guard(mutex_);
  lines_.add(std::string(bytes.begin(), bytes.end()));
}

std::vector<std::string> SerialView::last(std::size_t count) const {
  const std::lock_guard guard(mutex_);
  return lines_.last(count);
}

void SerialView::type(MachineControl& control, std::string_view text) {
  const MachineLock lock = control.lock();
  for (const char c : text) {
    if (waiting_.size() < kMostWaiting) waiting_.push_back(static_cast<u8>(c));
  }
  receiver_ready();
}

void SerialView::receiver_ready() {
  while (receiver_ != nullptr && !waiting_.empty() && receiver_->can_receive() != 0) {
    const std::size_t count = std::min(waiting_.size(), receiver_->can_receive());
    const auto end = waiting_.begin() + static_cast<std::ptrdiff_t>(count);
    const std::vector<u8> bytes(waiting_.begin(), end);
    waiting_.erase(waiting_.begin(), end);
    receiver_->receive(bytes);
  }
}

}  // namespace emu
