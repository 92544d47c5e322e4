// SPDX-License-Identifier: Apache-2.0
// A cable between machines that is a socket: TCP or Unix streams, UDP, multicast. Frames go over
// streams with their length ahead of them, as QEMU's socket and stream networks (and passt) have
// it, and one a datagram.
// Source: qemu(1), -netdev socket and stream; tcp(7), unix(7), ip(7) (multicast).
// Threads: as HostNet.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "net/host_net.h"
#include "net/net_options.h"

namespace emu {

struct SocketConfig {
  enum class Kind : u8 { kListen, kConnect, kUdp, kMulticast, kGiven };
  Kind kind = Kind::kConnect;
  std::string path;   // Unix socket, or empty:
  NetEndpoint peer;   // kListen: where to listen
  NetEndpoint local;  // kUdp: where to receive; kMulticast: the interface's address
  std::string text;   // as the user wrote it

  // listen=, connect= (ADDRESS:PORT or unix:PATH), udp= with localaddr=, mcast= [localaddr=].
  [[nodiscard]] static Result<SocketConfig> parse(const NetOptions& options);
};

class SocketNet final : public HostNet {
 public:
  // Errors: an address that is taken or not there, a peer that does not answer.
  [[nodiscard]] static Result<std::unique_ptr<SocketNet>> create(const SocketConfig& config,
                                                                 std::mutex& machine_lock);
  // A stream that is connected already. It is not connected again when it ends.
  [[nodiscard]] static std::unique_ptr<NetBackend> adopt(UniqueFd peer, std::mutex& machine_lock);
  ~SocketNet() override;

 private:
  SocketNet(const SocketConfig& config, std::mutex& machine_lock);
  [[nodiscard]] Result<void> open();
  [[nodiscard]] Result<void> open_stream();
  [[nodiscard]] Result<void> open_datagram();
  [[nodiscard]] bool is_stream() const;
  void before_poll(std::vector<pollfd>& descriptors, int& timeout_ms) override;
  void after_poll(std::span<const pollfd> descriptors) override;
  void transmit(std::span<u8> frame, const Offload& offload) override;
  void send_frame(std::span<const u8> frame);
  void accept_peer();
  void connect_again();
  void read_stream();
  void read_datagrams();
  void take_frames();
  void flush();
  void drop_peer();

  const SocketConfig config_;
  UniqueFd listener_, peer_;
  UniqueFd sender_;  // kMulticast: with an address of its own, to tell our frames from others'
  sockaddr_in sender_address_{};
  sockaddr_storage address_{};
  socklen_t address_bytes_ = 0;
  std::vector<u8> in_, out_;
  i64 next_try_ms_ = 0;
};

}  // namespace emu
