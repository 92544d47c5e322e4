// SPDX-License-Identifier: Apache-2.0
#include "net/shaper.h"

#include <algorithm>
#include <chrono>

namespace emu {
namespace {

constexpr std::size_t kLineBytes = 1 << 20;
constexpr u64 kForever = ~u64{0};

u64 now_ns() {
  return static_cast<u64>(std::chrono::steady_clock::now().time_since_epoch() /
                          std::chrono::nanoseconds(1));
}

}  // namespace

Shaper::Shaper(const LineShape& shape, std::unique_ptr<NetBackend> inner, std::mutex& machine_lock)
    : shape_(shape), machine_lock_(machine_lock), inner_(std::move(inner)) {
  thread_ = std::thread([this] { loop(); });
}

Shaper::~Shaper() {
  {
    const std::lock_guard guard(machine_lock_);
    stop_ = true;
    inner_->set_receiver(nullptr);
  }
  changed_.notify_all();
  thread_.join();
}

void Shaper::enter(Line& line, std::span<const u8> frame, const Offload& offload) {
  if (line.bytes + frame.size() > kLineBytes) return;
  const u64 now = now_ns();
  const u64 rate = shape_.bits_per_second;
  const u64 takes_ns = rate == 0 ? 0 : frame.size() * 8'000'000'000u / rate;
  line.free_at_ns = std::max(line.free_at_ns, now) + takes_ns;
  line.waiting.push_back(
      {line.free_at_ns + shape_.delay_ns, {frame.begin(), frame.end()}, offload});
  line.bytes += frame.size();
  changed_.notify_all();
}

void Shaper::send(std::span<const u8> frame, const Offload& offload) {
  if (is_frame_length(frame.size())) enter(out_, frame, offload);
}

bool Shaper::receive(std::span<const u8> frame, const Offload& offload) {
  enter(in_, frame, offload);
  return true;
}

bool Shaper::takes_offloads() const {
  return receiver_ != nullptr && receiver_->takes_offloads();
}

void Shaper::set_receiver(NetReceiver* receiver) {
  receiver_ = receiver;
  inner_->set_receiver(receiver == nullptr ? nullptr : this);
}

void Shaper::receiver_ready() {
  card_full_ = false;
  inner_->receiver_ready();
  changed_.notify_all();
}

void Shaper::set_running(bool running) {
  running_ = running;
  inner_->set_running(running);
  changed_.notify_all();
}

// Lets go what is due; returns when the next one is.
u64 Shaper::release(u64 now) {
  const auto pop = [](Line& line) {
    line.bytes -= line.waiting.front().frame.size();
    line.waiting.pop_front();
  };
  while (!out_.waiting.empty() && out_.waiting.front().due_ns <= now) {
    inner_->send(out_.waiting.front().frame, out_.waiting.front().offload);
    pop(out_);
  }
  bool received = false;
  while (running_ && !card_full_ && !in_.waiting.empty() && in_.waiting.front().due_ns <= now) {
    const Waiting& next = in_.waiting.front();
    // Segments for a card that no longer takes them are lost, as on a cable that is pulled.
    const bool suits = next.offload.finished() || takes_offloads();
    if (receiver_ != nullptr && suits && !receiver_->receive(next.frame, next.offload)) {
      card_full_ = true;
      break;
    }
    received = true;
    pop(in_);
  }
  if (received && receiver_ != nullptr) receiver_->received();
  u64 next = out_.waiting.empty() ? kForever : out_.waiting.front().due_ns;
  if (running_ && !card_full_ && !in_.waiting.empty()) {
    next = std::min(next, in_.waiting.front().due_ns);
  }
  return next;
}

void Shaper::loop() {
  std::unique_lock guard(machine_lock_);
  while (!stop_) {
    const u64 now = now_ns();
    const u64 next = release(now);
    if (next == kForever) {
      changed_.wait(guard);
    } else if (next > now) {
      changed_.wait_for(guard, std::chrono::nanoseconds(next - now));
    }
  }
}

}  // namespace emu
