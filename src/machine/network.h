// SPDX-License-Identifier: Apache-2.0
// The machine's network cards: which models there are, their addresses, their networks.
// Source: IEEE 802, 8.1 (locally and universally administered addresses); QEMU uses 52:54:00.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/vm_time.h"
#include "devices/network/net_card.h"
#include "devices/pci/pci_bus.h"
#include "machine/machine_config.h"
#include "net/net_backend.h"

namespace emu {

// A card to be built, with its open network.
struct PcNic {
  std::string model;
  MacAddress mac{};
  unsigned queues = 1;
  u16 mtu = 0;
  bool packed_rings = false;
  u16 port = 0x300;  // of an ISA card
  unsigned irq = 5;
  std::string network;  // for people: "user", "tap"
  int boot_index = -1;  // lower ones first; -1: after all that have one
  std::vector<u8> rom;  // to start from the network; may be empty
  std::shared_ptr<NetBackend> backend;
};

// Where a card is plugged in.
struct NicSlot {
  PciBus& bus;
  Clock& clock;
  // An ISA card's interrupt, and its window of ports.
  std::function<IrqLine(unsigned irq)> irq;
  std::function<void(u16 port, u16 bytes, IoHandler& handler, AccessSizes sizes)> add_port;
};

// A card in the machine. `device` is the card as a whole, `card` its link and counters.
struct BuiltNic {
  std::unique_ptr<Device> device;
  NetCard* card = nullptr;
  int devfn = -1;  // on the PCI bus; -1: elsewhere
};

// The fastest card, and the only one that kernels made for virtual machines (Debian's cloud kernel)
// have a driver for. Systems without virtio drivers are given model=e1000.
inline constexpr std::string_view kDefaultNicModel = "virtio-net";

// Model names as users spell them, for people: "e1000, ...".
[[nodiscard]] std::string nic_model_names();
// The model's own name for any of its spellings ("e1000", "e1000-82540em"), or empty.
[[nodiscard]] std::string_view find_nic_model(std::string_view spelled);

// Whether all cards can be built: models, addresses, network settings. Nothing of the host is
// touched. Errors: a sentence that names the option.
[[nodiscard]] Result<void> check_nics(const std::vector<NicConfig>& nics);

// Opens every card's network and settles its address. An address that is not given depends on the
// machine's name, its first image or kernel and the card's number only.
[[nodiscard]] Result<std::vector<PcNic>> open_networks(const MachineConfig& config,
                                                       std::mutex& machine_lock);

// Builds a card on the bus's next free place.
[[nodiscard]] BuiltNic make_nic(const PcNic& nic, std::string name, const NicSlot& slot);

// For people: "52:54:00:12:34:56".
[[nodiscard]] std::string format_mac(const MacAddress& mac);

}  // namespace emu
