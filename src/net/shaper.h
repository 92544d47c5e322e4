// SPDX-License-Identifier: Apache-2.0
// A slow or long line in front of a network: rate and delay, the same both ways, for tests.
// Threads: as HostNet's card side; its own thread holds frames back.
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "net/net_backend.h"

namespace emu {

struct LineShape {
  u64 bits_per_second = 0;  // 0: no limit
  u64 delay_ns = 0;         // each way
};

// A decorator around `inner`. Frames that would wait longer than the line's buffer (1 MiB each
// way) are lost, as in a router.
class Shaper final : public NetBackend, private NetReceiver {
 public:
  using NetBackend::send;
  Shaper(const LineShape& shape, std::unique_ptr<NetBackend> inner, std::mutex& machine_lock);
  ~Shaper() override;

  void send(std::span<const u8> frame, const Offload& offload) override;
  void set_receiver(NetReceiver* receiver) override;
  void receiver_ready() override;
  void set_running(bool running) override;

 private:
  struct Waiting {
    u64 due_ns;
    std::vector<u8> frame;
    Offload offload;
  };
  struct Line {
    std::deque<Waiting> waiting;
    std::size_t bytes = 0;
    u64 free_at_ns = 0;  // when the last bit of the last frame has left
  };
  bool receive(std::span<const u8> frame, const Offload& offload) override;
  [[nodiscard]] bool takes_offloads() const override;
  void enter(Line& line, std::span<const u8> frame, const Offload& offload);
  void loop();
  [[nodiscard]] u64 release(u64 now_ns);

  const LineShape shape_;
  std::mutex& machine_lock_;
  std::unique_ptr<NetBackend> inner_;
  // under the machine lock
  NetReceiver* receiver_ = nullptr;
  bool running_ = false, stop_ = false, card_full_ = false;
  Line out_, in_;
  std::condition_variable changed_;
  std::thread thread_;
};

}  // namespace emu
