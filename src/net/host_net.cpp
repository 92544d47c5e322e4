// SPDX-License-Identifier: Apache-2.0
#include "net/host_net.h"

#include <pthread.h>
#include <sys/eventfd.h>

#include "base/check.h"
#include "net/offload.h"

namespace emu {
namespace {

constexpr std::size_t kOutboundBytes = 16 * kMiB;
constexpr std::size_t kInboundBytes = 16 * kMiB;
constexpr int kRetryMs = 2;              // a full card is asked again
constexpr unsigned kFramesPerLock = 64;  // then others may have the machine lock

}  // namespace

HostNet::HostNet(std::mutex& machine_lock)
    : machine_lock_(machine_lock),
      wake_fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      outbound_(kOutboundBytes),
      sending_(kOutboundBytes),
      inbound_(kInboundBytes) {
  EMU_CHECK(static_cast<bool>(wake_fd_));
}

HostNet::~HostNet() {
  EMU_CHECK(!thread_.joinable());
}

void HostNet::start_thread(const std::string& name) {
  thread_ = std::thread([this, name] {
    ::pthread_setname_np(::pthread_self(), name.c_str());
    loop();
  });
}

void HostNet::stop_thread() {
  if (!thread_.joinable()) return;
  stop_ = true;
  wake();
  thread_.join();
}

void HostNet::send(std::span<const u8> frame, const Offload& offload) {
  if (!is_frame_length(frame.size())) return;
  {
    const std::lock_guard guard(queue_lock_);
    if (!outbound_.push(frame, offload)) return;
  }
  wake();
}

void HostNet::set_receiver(NetReceiver* receiver) {
  receiver_ = receiver;
  receiver_ready();
}

void HostNet::receiver_ready() {
  takes_offloads_ = receiver_ != nullptr && receiver_->takes_offloads();
  if (!card_full_) return;
  card_full_ = false;
  wake();
}

void HostNet::set_running(bool running) {
  running_ = running;
  wake();
}

void HostNet::wake() {
  if (wake_pending_.exchange(true)) return;
  const u64 one = 1;
  [[maybe_unused]] const auto written = ::write(wake_fd_.get(), &one, sizeof one);
}

void HostNet::incoming(std::span<const u8> frame, const Offload& offload) {
  if (!is_frame_length(frame.size())) return;
  if (offload.finished() || takes_offloads_) {
    inbound_.push(frame, offload);
    return;
  }
  // Cut now, so that a card with little room takes the pieces one by one.
  finish(frame, offload, [this](std::span<const u8> piece) {
    inbound_.push(piece, Offload{.checksum_valid = true});
  });
}

void HostNet::take_outgoing() {
  {
    const std::lock_guard guard(queue_lock_);
    sending_.swap(outbound_);
  }
  while (!sending_.empty()) {
    transmit(sending_.front(), sending_.front_offload());
    sending_.pop();
  }
}

// Machine lock held. False: the card is full.
bool HostNet::hand_over() {
  const Offload& offload = inbound_.front_offload();
  const std::span<u8> frame = inbound_.front();
  if (offload.finished() || receiver_->takes_offloads()) return receiver_->receive(frame, offload);
  // The card changed its mind while the frame was on its way. A piece that finds it full is lost,
  // as on a wire.
  finish(frame, offload, [this](std::span<const u8> piece) {
    static_cast<void>(receiver_->receive(piece, Offload{.checksum_valid = true}));
  });
  return true;
}

// Not every chip learns that the driver made room (some rings are only looked at when a frame
// comes), so a full card is asked now and then.
void HostNet::deliver() {
  waits_for_card_ = false;
  while (!inbound_.empty()) {
    const std::lock_guard guard(machine_lock_);
    if (card_full_ && std::chrono::steady_clock::now() >= retry_at_) card_full_ = false;
    waits_for_card_ = running_ && card_full_;
    if (!running_ || card_full_) return;
    if (receiver_ == nullptr) return inbound_.clear();
    unsigned count = 0;
    for (; count < kFramesPerLock && !inbound_.empty(); ++count) {
      if (!hand_over()) {
        card_full_ = true;
        retry_at_ = std::chrono::steady_clock::now() + std::chrono::milliseconds(kRetryMs);
        break;
      }
      inbound_.pop();
    }
    if (count != 0) receiver_->received();
  }
}

void HostNet::loop() {
  std::vector<pollfd> descriptors;
  while (!stop_) {
    descriptors.clear();
    int timeout_ms = -1;
    before_poll(descriptors, timeout_ms);
    if (waits_for_card_) timeout_ms = timeout_ms < 0 ? kRetryMs : std::min(timeout_ms, kRetryMs);
    descriptors.push_back({wake_fd_.get(), POLLIN, 0});
    ::poll(descriptors.data(), descriptors.size(), timeout_ms);
    if ((descriptors.back().revents & POLLIN) != 0) {
      u64 count = 0;
      [[maybe_unused]] const auto got = ::read(wake_fd_.get(), &count, sizeof count);
      wake_pending_ = false;  // after the read: a later wake() writes again
    }
    descriptors.pop_back();
    take_outgoing();
    after_poll(descriptors);
    deliver();
  }
}

}  // namespace emu
