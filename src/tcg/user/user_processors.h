// SPDX-License-Identifier: Apache-2.0
// Which of the host's processors run ring-3 processes at the moment. Such a process shares the
// processor of its vCPU's thread, which sleeps meanwhile, and is bound to it: the host's scheduler
// cannot part two that met. So they are kept from meeting while others are free.
// Threads: any.
#pragma once

#include <array>
#include <atomic>

#include "base/types.h"

namespace emu {

class UserProcessors {
 public:
  // While it lives, the calling thread has a processor; if possible one that no other thread has,
  // to which it was moved.
  class Seat {
   public:
    explicit Seat(UserProcessors& all);
    ~Seat();
    Seat(const Seat&) = delete;
    Seat& operator=(const Seat&) = delete;

   private:
    UserProcessors& all_;
    int processor_;
  };

  // Seats that are taken on `processor`, for tests.
  [[nodiscard]] unsigned taken(unsigned processor) const { return taken_.at(processor).load(); }

 private:
  static constexpr std::size_t kMost = 1024;  // as cpu_set_t has them
  [[nodiscard]] int take();

  std::array<std::atomic<u16>, kMost> taken_{};
};

}  // namespace emu
