// SPDX-License-Identifier: Apache-2.0
// Everything that passes, both ways, into a pcapng file that Wireshark and tcpdump read.
// Source: IETF draft-ietf-opsawg-pcapng: section header, interface description, enhanced packet.
// Threads: the machine lock is held by every caller.
#pragma once

#include <cstdio>
#include <memory>
#include <string>

#include "base/result.h"
#include "net/net_backend.h"

namespace emu {

// A decorator: frames go on to `inner` and come from it unchanged.
class PcapngCapture final : public NetBackend, private NetReceiver {
 public:
  using NetBackend::send;
  // Makes the file (or empties it). Errors: it cannot be written.
  [[nodiscard]] static Result<std::unique_ptr<PcapngCapture>> create(
      const std::string& path, std::unique_ptr<NetBackend> inner);
  ~PcapngCapture() override;

  void send(std::span<const u8> frame, const Offload& offload) override;
  void set_receiver(NetReceiver* receiver) override;
  void receiver_ready() override { inner_->receiver_ready(); }
  void set_running(bool running) override;

 private:
  struct FileCloser {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  using File = std::unique_ptr<std::FILE, FileCloser>;
  PcapngCapture(File file, std::unique_ptr<NetBackend> inner)
      : file_(std::move(file)), inner_(std::move(inner)) {}
  bool receive(std::span<const u8> frame, const Offload& offload) override;
  [[nodiscard]] bool takes_offloads() const override;
  void received() override;
  void write_header();
  void write_packet(std::span<const u8> frame, u32 direction);

  File file_;
  std::unique_ptr<NetBackend> inner_;
  NetReceiver* receiver_ = nullptr;
};

}  // namespace emu
