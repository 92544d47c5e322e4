// SPDX-License-Identifier: Apache-2.0
// Several cards on one wire, in one process: what one sends, all others hear.
// Threads: one lock, the machine's (or one that all machines on the hub share), is held by every
// caller.
#pragma once

#include <algorithm>
#include <memory>
#include <vector>

#include "net/net_backend.h"
#include "net/offload.h"

namespace emu {

// The wire. It lives as long as a plug of it does. Frames for a card that has no room are lost.
class Hub : public std::enable_shared_from_this<Hub> {
 public:
  [[nodiscard]] static std::shared_ptr<Hub> create() { return std::shared_ptr<Hub>(new Hub); }
  [[nodiscard]] std::unique_ptr<NetBackend> plug() {
    return std::make_unique<Plug>(shared_from_this());
  }

 private:
  class Plug final : public NetBackend {
   public:
    explicit Plug(std::shared_ptr<Hub> hub) : hub_(std::move(hub)) { hub_->plugs_.push_back(this); }
    ~Plug() override { std::erase(hub_->plugs_, this); }
    Plug(const Plug&) = delete;
    Plug& operator=(const Plug&) = delete;
    void send(std::span<const u8> frame, const Offload& offload) override {
      if (!is_frame_length(frame.size())) return;
      for (Plug* other : hub_->plugs_) {
        if (other != this) other->hear(frame, offload);
      }
    }
    void set_receiver(NetReceiver* receiver) override { receiver_ = receiver; }

   private:
    void hear(std::span<const u8> frame, const Offload& offload) {
      if (receiver_ == nullptr) return;
      if (offload.finished() || receiver_->takes_offloads()) {
        static_cast<void>(receiver_->receive(frame, offload));
      } else {
        finish(frame, offload, [this](std::span<const u8> piece) {
          static_cast<void>(receiver_->receive(piece, Offload{}));
        });
      }
      receiver_->received();
    }
    std::shared_ptr<Hub> hub_;
    NetReceiver* receiver_ = nullptr;
  };

  Hub() = default;
  std::vector<Plug*> plugs_;
};

}  // namespace emu
