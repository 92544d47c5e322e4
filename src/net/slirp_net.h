// SPDX-License-Identifier: Apache-2.0
// User-mode network: a private network with the guest, a router and servers for DHCP, DNS and TFTP
// on it, whose connections leave through the host's ordinary sockets. Needs no rights.
// Source: libslirp 4.7's libslirp.h; qemu(1), -netdev user.
// Threads: as HostNet; the library is used by the thread only.
// Not modelled: the guest's connections do not survive the process.
#pragma once

#include <netinet/in.h>
#include <slirp/libslirp.h>

#include <memory>
#include <string>
#include <unordered_set>
#include <vector>

#include "base/result.h"
#include "net/host_net.h"
#include "net/nat_flows.h"
#include "net/net_options.h"
#include "net/offload.h"

namespace emu {

// A TCP address inside the network that leads to a program or a Unix socket of the host.
struct GuestForward {
  in_addr address{};
  u16 port = 0;
  bool is_command = true;
  std::string target;
};

struct UserNetConfig {
  bool restricted = false;  // the guest reaches nothing but its forwards
  bool ipv4 = true, ipv6 = true;
  in_addr network{}, mask{}, host{}, dns{}, dhcp_start{};
  in6_addr prefix6{}, host6{}, dns6{};
  u8 prefix6_bits = 64;
  std::string host_name, domain, tftp_folder, boot_file, tftp_server_name;
  std::vector<std::string> search_domains;
  std::vector<PortForward> forwards;
  std::vector<GuestForward> guest_forwards;

  // From "restrict=on", "hostfwd=...", "net=10.0.2.0/24" and so on. Errors: unknown or bad ones.
  [[nodiscard]] static Result<UserNetConfig> parse(const NetOptions& options);
};

class SlirpNet final : public HostNet {
 public:
  // Errors: a port that cannot be listened on, a network the library refuses.
  [[nodiscard]] static Result<std::unique_ptr<SlirpNet>> create(const UserNetConfig& config,
                                                                std::mutex& machine_lock);
  ~SlirpNet() override;

 private:
  struct RouterTimer;
  explicit SlirpNet(std::mutex& machine_lock) : HostNet(machine_lock) {}
  [[nodiscard]] Result<void> open(const UserNetConfig& config);
  [[nodiscard]] Result<void> add_forward(const PortForward& forward);
  [[nodiscard]] Result<void> add_guest_forward(const GuestForward& forward);
  void before_poll(std::vector<pollfd>& descriptors, int& timeout_ms) override;
  void after_poll(std::span<const pollfd> descriptors) override;
  void transmit(std::span<u8> frame, const Offload& offload) override;
  void frame_from_library(std::span<const u8> frame);
  void forget_finished();
  static const SlirpCb& callbacks();

  Slirp* slirp_ = nullptr;
  std::vector<RouterTimer*> timers_;  // owned by the library
  NatFlows flows_;
  std::unordered_set<int> sockets_;  // the library's
  std::size_t most_sockets_ = 0;
  bool refused_before_ = false;
  // during one poll
  std::vector<pollfd>* filling_ = nullptr;
  std::span<const pollfd> polled_;
};

}  // namespace emu
