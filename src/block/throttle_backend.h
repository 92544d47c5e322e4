// SPDX-License-Identifier: Apache-2.0
// A backend that lets requests through at a limited rate.
// Threads: submit() and drain() from any thread; one of its own releases what had to wait.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>

#include "block/block_backend.h"

namespace emu {

// Limits of a drive; 0: none.
struct ThrottleLimits {
  u64 bytes_per_second = 0;
  u64 requests_per_second = 0;

  bool operator==(const ThrottleLimits&) const = default;
};

// How long after `now` a request may start. A request is paid for after it started, so that one of
// any size gets through, and a pause saves up at most kBurstNs.
class ThrottleSchedule {
 public:
  static constexpr u64 kBurstNs = 100'000'000;
  explicit ThrottleSchedule(const ThrottleLimits& limits) : limits_(limits) {}
  // The time (ns, like `now_ns`) at which a request of `length_bytes` that arrives now may start.
  [[nodiscard]] u64 admit(u64 now_ns, u64 length_bytes);

 private:
  ThrottleLimits limits_;
  u64 paid_until_ns_ = 0;
};

// Flushes and discards are not held back, but stay behind what was submitted before them.
class ThrottleBackend final : public BlockBackend {
 public:
  ThrottleBackend(std::unique_ptr<BlockBackend> inner, const ThrottleLimits& limits);
  // Releases everything that still waits.
  ~ThrottleBackend() override;

  [[nodiscard]] u64 size_bytes() const override { return inner_->size_bytes(); }
  [[nodiscard]] bool read_only() const override { return inner_->read_only(); }
  [[nodiscard]] std::string describe() const override { return inner_->describe(); }
  void submit(BlockRequest request, BlockCompletion done) override;
  // What waits is released at once: a machine that stops is not held up by its limits.
  void drain() override;

 private:
  struct Waiting {
    u64 start_ns;
    BlockRequest request;
    BlockCompletion done;
  };
  void work(const std::stop_token& stop);
  void release_all();

  const std::unique_ptr<BlockBackend> inner_;
  std::mutex mutex_;  // guards what follows
  std::condition_variable_any changed_;
  ThrottleSchedule schedule_;
  std::deque<Waiting> queue_;
  std::jthread thread_;
};

}  // namespace emu
