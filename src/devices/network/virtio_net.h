// SPDX-License-Identifier: Apache-2.0
// A virtio network card: mergeable buffers, checksums and TCP segments left to the other side,
// several queue pairs, filters and announcements through the control queue.
// Source: VIRTIO 1.2: 5.1.
// Threads: the machine lock is held by every caller.
// Not modelled: UDP fragmentation, RSS and hash reports, notification coalescing.
#pragma once

#include <bitset>
#include <vector>

#include "devices/network/net_card.h"
#include "devices/virtio/virtio_device.h"

namespace emu {

class VirtioNet final : public VirtioDevice, public NetCard, private NetReceiver {
 public:
  static constexpr unsigned kMaxPairs = 16;
  struct Options {
    MacAddress mac{};
    unsigned pairs = 1;  // of queues, 1..kMaxPairs
    u16 mtu = 0;         // 68..65535 is told to the driver; 0: nothing is
  };
  // `backend` outlives this.
  VirtioNet(AddressSpace& memory, NetBackend& backend, const Options& options);
  ~VirtioNet() override;

  void set_link(bool up) override;
  [[nodiscard]] bool link() const override { return link_; }
  [[nodiscard]] const NetCounters& counters() const override { return counters_; }

 private:
  static constexpr u16 kQueueSize = 256;
  static constexpr u16 kControlQueueSize = 64;
  static constexpr u32 kConfigBytes = 12;
  static constexpr std::size_t kMaxMacs = 64;

  [[nodiscard]] static std::vector<u16> queue_sizes(unsigned pairs);
  [[nodiscard]] u64 model_features() const override;
  void fill_config(std::span<u8> out) override;
  void config_written(u64 offset, std::span<const u8> bytes) override;
  void notified(unsigned queue) override;
  void driver_ready() override;
  void reset_model() override;
  void transfer_model(StateIo& io) override;
  void resumed_model() override;

  [[nodiscard]] unsigned control_queue() const;
  [[nodiscard]] std::size_t header_bytes() const;
  // out
  void transmit(unsigned queue, const VirtioChain& chain);
  [[nodiscard]] Offload offload_of(std::span<const u8> header) const;
  // control
  void control(const VirtioChain& chain);
  [[nodiscard]] bool command(u8 kind, u8 number, std::span<const u8> data);
  [[nodiscard]] bool receive_mode(u8 number, std::span<const u8> data);
  [[nodiscard]] bool addresses(u8 number, std::span<const u8> data);
  [[nodiscard]] bool vlan(u8 number, std::span<const u8> data);
  // in
  bool receive(std::span<const u8> frame, const Offload& offload) override;
  void received() override;
  [[nodiscard]] bool takes_offloads() const override;
  [[nodiscard]] bool accepts(std::span<const u8> frame) const;
  [[nodiscard]] unsigned queue_for(std::span<const u8> frame) const;
  [[nodiscard]] bool take_chains(unsigned queue, std::size_t bytes);
  void fill_chains(std::span<const u8> frame, const Offload& offload);

  // One buffer of the frame that is being received.
  struct Taken {
    VirtioChain chain;
    DmaList memory;
  };

  // wires
  NetBackend& backend_;
  // parts
  const Options options_;
  // state (saved)
  MacAddress mac_{};
  bool link_ = true;
  bool announce_ = false;
  u16 pairs_in_use_ = 1;
  u64 guest_offloads_ = 0;
  u8 modes_ = 0;                // kPromiscuous and so on
  std::vector<u8> macs_;        // six bytes each
  bool macs_overflow_[2] = {};  // more unicast, more multicast addresses than kept
  std::array<u64, 64> vlans_{};
  // scratch
  NetCounters counters_;
  std::vector<u8> frame_;
  std::vector<Taken> taken_;
  std::bitset<kMaxPairs> to_interrupt_;
};

}  // namespace emu
