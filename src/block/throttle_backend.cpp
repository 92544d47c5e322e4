// SPDX-License-Identifier: Apache-2.0
#include "block/throttle_backend.h"

#include <algorithm>
#include <utility>

#include "block/byte_file.h"

namespace emu {
namespace {

constexpr u64 kNsPerSecond = 1'000'000'000;

u64 now_ns() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return static_cast<u64>(std::chrono::duration_cast<std::chrono::nanoseconds>(now).count());
}

u64 charged_bytes(const BlockRequest& request) {
  return total_bytes(request.buffers);
}

}  // namespace

u64 ThrottleSchedule::admit(u64 now_ns, u64 length_bytes) {
  const u64 start = std::max(now_ns, paid_until_ns_);
  u64 cost = 0;
  if (limits_.bytes_per_second != 0) {
    const double seconds =
        static_cast<double>(length_bytes) / static_cast<double>(limits_.bytes_per_second);
    cost = static_cast<u64>(std::min(seconds, 3600.0) * static_cast<double>(kNsPerSecond));
  }
  if (limits_.requests_per_second != 0)
    cost = std::max(cost, kNsPerSecond / limits_.requests_per_second);
  const u64 saved = now_ns > kBurstNs ? now_ns - kBurstNs : 0;
  paid_until_ns_ = std::max(paid_until_ns_, saved) + cost;
  return start;
}

ThrottleBackend::ThrottleBackend(std::unique_ptr<BlockBackend> inner, const ThrottleLimits& limits)
    : inner_(std::move(inner)), schedule_(limits) {
  thread_ = std::jthread([this](const std::stop_token& stop) { work(stop); });
}

ThrottleBackend::~ThrottleBackend() {
  thread_.request_stop();
  changed_.notify_all();
  thread_.join();
  release_all();
}

void ThrottleBackend::submit(BlockRequest request, BlockCompletion done) {
  {
    const std::lock_guard lock(mutex_);
    const bool moves = request.op == BlockOp::kRead || request.op == BlockOp::kWrite;
    const u64 now = now_ns();
    const u64 start = moves ? schedule_.admit(now, charged_bytes(request)) : now;
    if (!queue_.empty() || start > now) {
      queue_.push_back({start, std::move(request), std::move(done)});
      changed_.notify_all();
      return;
    }
  }
  inner_->submit(std::move(request), std::move(done));
}

void ThrottleBackend::drain() {
  release_all();
  inner_->drain();
}

void ThrottleBackend::release_all() {
  std::deque<Waiting> waiting;
  {
    const std::lock_guard lock(mutex_);
    waiting.swap(queue_);
  }
  for (Waiting& w : waiting) inner_->submit(std::move(w.request), std::move(w.done));
}

// Submits under the lock, so that drain() finds a request either waiting here or inside `inner_`.
void ThrottleBackend::work(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (!stop.stop_requested()) {
    if (queue_.empty()) {
      changed_.wait(lock, stop, [this] { return !queue_.empty(); });
      continue;
    }
    const u64 now = now_ns();
    if (queue_.front().start_ns > now) {
      const std::chrono::nanoseconds pause(queue_.front().start_ns - now);
      changed_.wait_for(lock, stop, pause, [this] { return queue_.empty(); });
      continue;
    }
    Waiting first = std::move(queue_.front());
    queue_.pop_front();
    inner_->submit(std::move(first.request), std::move(first.done));
  }
}

}  // namespace emu
