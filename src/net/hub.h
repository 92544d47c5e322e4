// SPDX-License-Identifier: Apache-2.0
// Cards on one wire in one process, of one machine or of several: what one sends, all others hear.
// Source: qemu(1), -netdev hubport.
// Threads: each plug has its own, as HostNet; the wire's lock is taken after a machine's and before
// a plug's queue, and held while frames are copied into queues only.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "net/frame_queue.h"
#include "net/host_net.h"
#include "net/net_options.h"

namespace emu {

struct HubConfig {
  unsigned id = 0;
  std::vector<NetOptions> uplinks;  // networks that are on the wire as well

  // "hubid=0", "uplink=user" (repeated; a network's words with ",," for each comma).
  [[nodiscard]] static Result<HubConfig> parse(const NetOptions& options);
};

// The wire. It lives as long as a plug of it does. Frames for a plug whose card is slow wait in a
// queue of bounded length; what does not fit is lost.
class Hub : public std::enable_shared_from_this<Hub> {
 public:
  [[nodiscard]] static std::shared_ptr<Hub> create() { return std::shared_ptr<Hub>(new Hub); }
  // `machine_lock` is that of the machine whose card is plugged in. Machines with different locks
  // may share a wire.
  [[nodiscard]] std::unique_ptr<NetBackend> plug(std::mutex& machine_lock);

 private:
  class Plug;
  Hub() = default;
  void join(Plug& plug);
  void leave(Plug& plug);
  void spread(const Plug& from, std::span<const u8> frame, const Offload& offload);

  std::mutex lock_;
  std::vector<Plug*> plugs_;
};

// The wires of a machine, by number.
using Hubs = std::map<unsigned, std::shared_ptr<Hub>>;

// A card's plug, together with a network that is joined to the same wire by a second plug.
[[nodiscard]] std::unique_ptr<NetBackend> with_uplink(std::unique_ptr<NetBackend> card_plug,
                                                      std::unique_ptr<NetBackend> wire_plug,
                                                      std::unique_ptr<NetBackend> uplink,
                                                      std::mutex& machine_lock);

}  // namespace emu
