// SPDX-License-Identifier: Apache-2.0
// Transfers that the kernel does by itself (io_uring): one system call starts one, no thread waits
// for it.
// Source: io_uring(7), io_uring_setup(2), liburing's manual pages.
// Threads: start() from any; results come on the ring's own thread.
#pragma once

#include <sys/uio.h>

#include <functional>
#include <memory>
#include <vector>

#include "base/types.h"

namespace emu {

struct RingTransfer {
  bool is_write = false;
  int fd = -1;  // stays open until the result
  u64 offset = 0;
  std::vector<iovec> pieces;             // at most 1024
  std::function<void(i64 result)> done;  // bytes moved, or an errno negated
};

class IoRing {
 public:
  virtual ~IoRing() = default;
  // Null where the host has no io_uring or forbids it, as containers often do.
  [[nodiscard]] static std::unique_ptr<IoRing> create();
  // False if the ring is full: then nothing was started.
  [[nodiscard]] virtual bool start(std::unique_ptr<RingTransfer>& transfer) = 0;
  // `after` is called on the ring's thread when it has reported all results that there were.
  virtual void run(std::function<void()> after) = 0;
};

}  // namespace emu
