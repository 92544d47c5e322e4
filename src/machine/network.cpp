// SPDX-License-Identifier: Apache-2.0
#include "machine/network.h"

#include <algorithm>
#include <cctype>
#include <filesystem>

#include "devices/network/e1000.h"
#include "devices/network/virtio_net.h"
#include "devices/virtio/virtio_pci.h"
#include "net/open_net.h"

namespace emu {
namespace {

struct NicModel {
  std::string_view name;
  std::string_view aliases;  // between spaces
};
constexpr NicModel kModels[] = {
    {"virtio-net", " virtio virtio-net-pci "}, {"e1000", " e1000-82540em "}, {"rtl8139", ""}};

Result<MacAddress> parse_mac(const std::string& text) {
  MacAddress out{};
  const auto bad = [&text] {
    return fail("'{}' is no MAC address of a card; it is six bytes like 52:54:00:12:34:56", text);
  };
  if (text.size() != 17) return bad();
  for (std::size_t i = 0; i < 17; ++i) {
    const char c = text[i];
    if (i % 3 == 2 ? c != ':' && c != '-' : std::isxdigit(static_cast<unsigned char>(c)) == 0) {
      return bad();
    }
  }
  for (std::size_t i = 0; i < 6; ++i) {
    out[i] = static_cast<u8>(std::stoul(text.substr(3 * i, 2), nullptr, 16));
  }
  if ((out[0] & 1) != 0) {
    return fail("MAC address {} is a multicast address; its first byte must be even", text);
  }
  return out;
}

std::string format_mac(const MacAddress& mac) {
  return fmt::format("{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", mac[0], mac[1], mac[2], mac[3],
                     mac[4], mac[5]);
}

// FNV-1a over what tells machines apart.
MacAddress made_mac(const MachineConfig& config, std::size_t index) {
  std::string identity = config.name;
  std::string image = config.linux_boot.kernel;
  if (!config.drives.empty()) image = config.drives.front().file;
  std::error_code ignored;
  identity += '\n' + std::filesystem::weakly_canonical(image, ignored).string();
  u64 hash = 0xcbf29ce484222325;
  for (const char c : identity) hash = (hash ^ static_cast<u8>(c)) * 0x100000001b3;
  const u32 low = static_cast<u32>(hash ^ hash >> 24 ^ hash >> 48) + static_cast<u32>(index);
  return {0x52,
          0x54,
          0x00,
          static_cast<u8>(low >> 16),
          static_cast<u8>(low >> 8),
          static_cast<u8>(low)};
}

}  // namespace

std::string nic_model_names() {
  std::string out;
  for (const NicModel& model : kModels) {
    out += fmt::format("{}{}", out.empty() ? "" : ", ", model.name);
  }
  return out;
}

std::string_view find_nic_model(std::string_view spelled) {
  for (const NicModel& model : kModels) {
    if (model.name == spelled) return model.name;
    if (model.aliases.find(fmt::format(" {} ", spelled)) != std::string_view::npos) {
      return model.name;
    }
  }
  return {};
}

Result<void> check_nics(const std::vector<NicConfig>& nics) {
  if (nics.size() > kMaxNics) return fail("--nic: at most {} network cards", kMaxNics);
  std::vector<MacAddress> seen;
  for (const NicConfig& nic : nics) {
    if (!nic.model.empty() && find_nic_model(nic.model).empty()) {
      return fail("--nic: there is no network card {}; there are {}", nic.model, nic_model_names());
    }
    if (const auto done = check_net_options(nic.network); !done) {
      return fail("--nic {}: {}", nic.network.kind, done.error().message);
    }
    if (nic.mac.empty()) continue;
    const auto mac = parse_mac(nic.mac);
    if (!mac) return fail("--nic: {}", mac.error().message);
    if (std::ranges::find(seen, *mac) != seen.end()) {
      return fail("--nic: two cards have the MAC address {}; give each its own with mac=",
                  format_mac(*mac));
    }
    seen.push_back(*mac);
  }
  return {};
}

Result<std::vector<PcNic>> open_networks(const MachineConfig& config, std::mutex& machine_lock) {
  EMU_TRY(check_nics(config.nics));
  std::vector<PcNic> out;
  std::vector<MacAddress> given;
  for (const NicConfig& nic : config.nics) {
    if (!nic.mac.empty()) given.push_back(*parse_mac(nic.mac));
  }
  std::size_t next = 0;
  for (const NicConfig& nic : config.nics) {
    PcNic built;
    built.queues = nic.queues;
    built.mtu = nic.mtu;
    built.packed_rings = nic.packed_rings;
    built.model = nic.model.empty() ? kDefaultNicModel : find_nic_model(nic.model);
    if (!nic.mac.empty()) {
      built.mac = *parse_mac(nic.mac);
    } else {
      do {
        built.mac = made_mac(config, next++);
      } while (std::ranges::find(given, built.mac) != given.end());
    }
    auto backend = open_net(nic.network, machine_lock);
    if (!backend) return backend.error();
    built.backend = std::move(*backend);
    out.push_back(std::move(built));
  }
  return out;
}

std::unique_ptr<Device> make_nic(const PcNic& nic, std::string name, PciBus& bus, Clock& clock) {
  const u8 devfn = pci::devfn(bus.free_device(), 0);
  if (nic.model == "e1000") {
    return std::make_unique<E1000>(bus, devfn, std::move(name), nic.mac, *nic.backend, clock);
  }
  auto card = std::make_unique<VirtioNet>(bus.wires().dma, *nic.backend,
                                          VirtioNet::Options{nic.mac, nic.queues, nic.mtu});
  card->offer_packed_rings(nic.packed_rings);
  return std::make_unique<VirtioPci>(bus, devfn, name, std::move(card));
}

}  // namespace emu
