// SPDX-License-Identifier: Apache-2.0
// A progress line on standard error.
#pragma once

#include <atomic>

#include "base/types.h"

namespace emu::cli::img {

// Threads: any may advance.
class Progress {
 public:
  Progress(bool is_shown, u64 total) : is_shown_(is_shown), total_(total) {}
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  void advance(u64 n);

 private:
  bool is_shown_;
  u64 total_;
  std::atomic<u64> done_{0};
  std::atomic<u64> shown_per_mille_{0};
};

}  // namespace emu::cli::img
