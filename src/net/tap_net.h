// SPDX-License-Identifier: Apache-2.0
// A TAP device of the host: the guest is a machine on the host's own networks.
// Source: Linux Documentation/networking/tuntap.rst, <linux/if_tun.h>; virtio 1.2, 5.1.6.
// Threads: as HostNet.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "net/host_net.h"
#include "net/net_options.h"

namespace emu {

struct TapConfig {
  std::string interface;  // empty: the host picks a name
  std::string bridge;     // the device joins this bridge
  unsigned queues = 1;    // of the device; flows stay on theirs
  std::string helper;     // kind "bridge": the program that makes the device for unprivileged users

  // Of kinds "tap" (ifname=, br=, queues=) and "bridge" (br=, helper=).
  [[nodiscard]] static Result<TapConfig> parse(const NetOptions& options);
};

class TapNet final : public HostNet {
 public:
  // Attaches to the device, or makes it (it goes when the process ends). Errors: no rights, no such
  // device or bridge, each with the remedy.
  [[nodiscard]] static Result<std::unique_ptr<TapNet>> create(const TapConfig& config,
                                                              std::mutex& machine_lock);
  ~TapNet() override;

 private:
  static constexpr std::size_t kHeader = 12;
  TapNet(std::vector<UniqueFd> queues, std::mutex& machine_lock);
  void before_poll(std::vector<pollfd>& descriptors, int& timeout_ms) override;
  void after_poll(std::span<const pollfd> descriptors) override;
  void transmit(std::span<u8> frame, const Offload& offload) override;
  void take_frame(std::span<const u8> bytes);

  [[nodiscard]] int queue_for(std::span<const u8> frame) const;

  const std::vector<UniqueFd> queues_;
  bool offloads_on_ = false;
  std::vector<u8> buffer_;
};

// The system's part; see tap_device_unsafe.cpp.
// Opens the device with virtio headers of 12 bytes, once for each of its queues; sets `interface`
// to its name.
[[nodiscard]] Result<std::vector<UniqueFd>> open_tap(std::string& interface, unsigned queues);
// Gives a descriptor that somebody else opened the same settings. False: it is no such device.
[[nodiscard]] bool prepare_tap(int fd);
// Whether the kernel may hand over unfinished checksums and large segments.
void set_tap_offloads(int fd, bool on);
[[nodiscard]] Result<void> join_bridge(const std::string& bridge, const std::string& interface);
// Asks the bridge helper for a device on `bridge`.
[[nodiscard]] Result<UniqueFd> ask_bridge_helper(const std::string& helper,
                                                 const std::string& bridge);

}  // namespace emu
