// SPDX-License-Identifier: Apache-2.0
#include "net/hub.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>

#include "base/check.h"

namespace emu {
namespace {

constexpr std::size_t kInboxBytes = 4 * kMiB;

// Joins two networks: what comes from one goes to the other.
class PatchedPlug final : public NetBackend {
 public:
  PatchedPlug(std::unique_ptr<NetBackend> card_plug, std::unique_ptr<NetBackend> wire_plug,
              std::unique_ptr<NetBackend> uplink, std::mutex& machine_lock)
      : card_(std::move(card_plug)),
        wire_(std::move(wire_plug)),
        uplink_(std::move(uplink)),
        machine_lock_(machine_lock),
        to_uplink_(*uplink_),
        to_wire_(*wire_) {
    const std::lock_guard guard(machine_lock_);
    wire_->set_receiver(&to_uplink_);
    uplink_->set_receiver(&to_wire_);
  }
  ~PatchedPlug() override {
    const std::lock_guard guard(machine_lock_);
    wire_->set_receiver(nullptr);
    uplink_->set_receiver(nullptr);
  }
  PatchedPlug(const PatchedPlug&) = delete;
  PatchedPlug& operator=(const PatchedPlug&) = delete;
  void send(std::span<const u8> frame, const Offload& offload) override {
    card_->send(frame, offload);
  }
  void set_receiver(NetReceiver* receiver) override { card_->set_receiver(receiver); }
  void receiver_ready() override { card_->receiver_ready(); }
  void set_running(bool running) override {
    for (NetBackend* net : {card_.get(), wire_.get(), uplink_.get()}) net->set_running(running);
  }

 private:
  class Passer final : public NetReceiver {
   public:
    explicit Passer(NetBackend& to) : to_(to) {}
    bool receive(std::span<const u8> frame, const Offload& offload) override {
      to_.send(frame, offload);
      return true;
    }
    [[nodiscard]] bool takes_offloads() const override { return true; }

   private:
    NetBackend& to_;
  };
  std::unique_ptr<NetBackend> card_, wire_, uplink_;
  std::mutex& machine_lock_;
  Passer to_uplink_, to_wire_;
};

}  // namespace

class Hub::Plug final : public HostNet {
 public:
  Plug(std::shared_ptr<Hub> hub, std::mutex& machine_lock)
      : HostNet(machine_lock),
        hub_(std::move(hub)),
        heard_fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
        inbox_(kInboxBytes),
        taken_(kInboxBytes) {
    EMU_CHECK(static_cast<bool>(heard_fd_));
    hub_->join(*this);
    start_thread("emu-hub");
  }
  ~Plug() override {
    stop_thread();
    hub_->leave(*this);
  }
  // Any thread.
  void hear(std::span<const u8> frame, const Offload& offload) {
    bool first = false;
    {
      const std::lock_guard guard(inbox_lock_);
      first = inbox_.empty();
      if (!inbox_.push(frame, offload)) return;
    }
    const u64 one = 1;
    if (first) [[maybe_unused]]
      const auto written = ::write(heard_fd_.get(), &one, sizeof one);
  }

 private:
  void before_poll(std::vector<pollfd>& descriptors, int&) override {
    if (!incoming_full()) descriptors.push_back({heard_fd_.get(), POLLIN, 0});
  }
  void after_poll(std::span<const pollfd> descriptors) override {
    if (descriptors.empty() || descriptors[0].revents == 0) return;
    u64 count = 0;
    [[maybe_unused]] const auto got = ::read(heard_fd_.get(), &count, sizeof count);
    {
      const std::lock_guard guard(inbox_lock_);
      taken_.swap(inbox_);
    }
    for (; !taken_.empty(); taken_.pop()) incoming(taken_.front(), taken_.front_offload());
  }
  void transmit(std::span<u8> frame, const Offload& offload) override {
    hub_->spread(*this, frame, offload);
  }

  std::shared_ptr<Hub> hub_;
  UniqueFd heard_fd_;
  std::mutex inbox_lock_;
  FrameQueue inbox_;  // under inbox_lock_
  FrameQueue taken_;  // the thread's own
};

Result<HubConfig> HubConfig::parse(const NetOptions& options) {
  HubConfig out;
  for (const auto& [name, value] : options.values) {
    if (name == "hubid") {
      const auto id = parse_net_number(name, value, 0, 255);
      if (!id) return id.error();
      out.id = static_cast<unsigned>(*id);
    } else if (name == "uplink") {
      out.uplinks.push_back(parse_net_words(value));
      const std::string& kind = out.uplinks.back().kind;
      if (kind == "hubport") return fail("a hub's uplink is another network, not a hubport");
      EMU_TRY(check_net_options(out.uplinks.back()));
    } else {
      return fail("a hubport network has no setting {}; hubid and uplink exist", name);
    }
  }
  return out;
}

std::unique_ptr<NetBackend> Hub::plug(std::mutex& machine_lock) {
  return std::make_unique<Plug>(shared_from_this(), machine_lock);
}

void Hub::join(Plug& plug) {
  const std::lock_guard guard(lock_);
  plugs_.push_back(&plug);
}

void Hub::leave(Plug& plug) {
  const std::lock_guard guard(lock_);
  std::erase(plugs_, &plug);
}

void Hub::spread(const Plug& from, std::span<const u8> frame, const Offload& offload) {
  const std::lock_guard guard(lock_);
  for (Plug* plug : plugs_) {
    if (plug != &from) plug->hear(frame, offload);
  }
}

std::unique_ptr<NetBackend> with_uplink(std::unique_ptr<NetBackend> card_plug,
                                        std::unique_ptr<NetBackend> wire_plug,
                                        std::unique_ptr<NetBackend> uplink,
                                        std::mutex& machine_lock) {
  return std::make_unique<PatchedPlug>(std::move(card_plug), std::move(wire_plug),
                                       std::move(uplink), machine_lock);
}

}  // namespace emu
