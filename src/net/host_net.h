// SPDX-License-Identifier: Apache-2.0
// What backends with a descriptor have in common: a thread that polls, frames out to it and frames
// in from it, and the rule when which lock is held.
// Source: ppoll(2), eventfd(2).
// Threads: the card's side calls with the machine lock; the thread takes that lock to deliver, and
// never while it holds the queue's. Nothing of the host is called with the machine lock held.
#pragma once

#include <poll.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "base/unique_fd.h"
#include "net/frame_queue.h"
#include "net/net_backend.h"

namespace emu {

// Base of such backends. The derived class calls start_thread() at the end of its making and
// stop_thread() first in its destructor.
class HostNet : public NetBackend {
 public:
  using NetBackend::send;
  void send(std::span<const u8> frame, const Offload& offload) final;
  void set_receiver(NetReceiver* receiver) final;
  void receiver_ready() final;
  void set_running(bool running) final;
  HostNet(const HostNet&) = delete;
  HostNet& operator=(const HostNet&) = delete;

 protected:
  explicit HostNet(std::mutex& machine_lock);
  ~HostNet() override;
  void start_thread(const std::string& name);
  void stop_thread();

  // The thread's side.
  // Which descriptors to wait for; may lower `timeout_ms` (-1: none).
  virtual void before_poll(std::vector<pollfd>& descriptors, int& timeout_ms) = 0;
  // After the wait, with the same descriptors.
  virtual void after_poll(std::span<const pollfd> descriptors) = 0;
  // A frame from the guest. The bytes may be changed.
  virtual void transmit(std::span<u8> frame, const Offload& offload) = 0;
  // Takes a frame for the guest; lost if too many wait already.
  void incoming(std::span<const u8> frame, const Offload& offload);
  // Whether the guest should be given time before more is read.
  [[nodiscard]] bool incoming_full() const { return inbound_.half_full(); }
  // Whether the card took offloads when it was last asked.
  [[nodiscard]] bool card_takes_offloads() const { return takes_offloads_; }

 private:
  void loop();
  void wake();
  void take_outgoing();
  void deliver();
  [[nodiscard]] bool hand_over();

  std::mutex& machine_lock_;
  UniqueFd wake_fd_;
  std::thread thread_;
  std::atomic<bool> stop_{false};
  std::atomic<bool> wake_pending_{false};
  std::atomic<bool> takes_offloads_{false};
  // under the machine lock
  NetReceiver* receiver_ = nullptr;
  bool running_ = false;
  bool card_full_ = false;
  // under queue_lock_
  std::mutex queue_lock_;
  FrameQueue outbound_;
  // the thread's own
  bool waits_for_card_ = false;
  std::chrono::steady_clock::time_point retry_at_{};
  FrameQueue sending_;
  FrameQueue inbound_;
};

}  // namespace emu
