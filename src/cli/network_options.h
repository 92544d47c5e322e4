// SPDX-License-Identifier: Apache-2.0
// The command line's words for networks: --nic, --netdev with --device, -p, --capture.
// Source: qemu(1), "Network options".
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "machine/machine_config.h"

namespace emu::cli {

struct NetworkWords {
  std::vector<std::string> nics, netdevs, devices, forwards;
  std::string capture;
  bool nodefaults = false;
};

// Fills in config.nics: what was asked for, or one card on a user network. Takes the network cards
// out of `words.devices`; the other devices stay. Errors: a sentence that names the option.
[[nodiscard]] Result<void> interpret_network(NetworkWords& words, MachineConfig& config);

// "user,model=e1000,mac=...,hostfwd=...", as --nic reads it.
[[nodiscard]] std::string nic_text(const NicConfig& nic);

// For the banner: "user network, port 2222 to 22", "no network".
[[nodiscard]] std::string network_words(const MachineConfig& config);

}  // namespace emu::cli
