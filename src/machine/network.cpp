// SPDX-License-Identifier: Apache-2.0
#include "machine/network.h"

#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <filesystem>

#include "devices/network/e1000.h"
#include "devices/network/e1000e.h"
#include "devices/network/ne2000.h"
#include "devices/network/pcnet.h"
#include "devices/network/rtl8139.h"
#include "devices/network/virtio_net.h"
#include "devices/virtio/virtio_pci.h"
#include "machine/boot/bzimage.h"
#include "net/open_net.h"

namespace emu {
namespace {

using Maker = BuiltNic (*)(const PcNic&, std::string, const NicSlot&);

u8 free_place(const NicSlot& slot) {
  return pci::devfn(slot.bus.free_device(), 0);
}

template <class Card>
BuiltNic built(std::unique_ptr<Card> card, NetCard& face, const PcNic& nic) {
  if (!nic.rom.empty()) card->plug_rom(nic.rom);
  const int devfn = card->devfn();
  return {std::move(card), &face, devfn};
}

template <class Card>
BuiltNic make_intel(const PcNic& nic, std::string name, const NicSlot& slot) {
  auto card = std::make_unique<Card>(slot.bus, free_place(slot), std::move(name), nic.mac,
                                     *nic.backend, slot.clock);
  NetCard& face = *card;
  return built(std::move(card), face, nic);
}

BuiltNic make_rtl8139(const PcNic& nic, std::string name, const NicSlot& slot) {
  auto card =
      std::make_unique<Rtl8139>(slot.bus, free_place(slot), std::move(name), nic.mac, *nic.backend);
  NetCard& face = *card;
  return built(std::move(card), face, nic);
}

BuiltNic make_pcnet(const PcNic& nic, std::string name, const NicSlot& slot) {
  auto card =
      std::make_unique<Pcnet>(slot.bus, free_place(slot), std::move(name), nic.mac, *nic.backend);
  NetCard& face = *card;
  return built(std::move(card), face, nic);
}

BuiltNic make_ne2k_pci(const PcNic& nic, std::string name, const NicSlot& slot) {
  auto card = std::make_unique<Ne2000Pci>(slot.bus, free_place(slot), std::move(name), nic.mac,
                                          *nic.backend);
  NetCard& face = card->chip();
  return built(std::move(card), face, nic);
}

BuiltNic make_ne2k_isa(const PcNic& nic, std::string name, const NicSlot& slot) {
  auto card =
      std::make_unique<Ne2000Isa>(std::move(name), nic.mac, *nic.backend, slot.irq(nic.irq));
  slot.add_port(nic.port, Dp8390::kWindowBytes, card->chip(), Dp8390::kSizes);
  NetCard& face = card->chip();
  return {std::move(card), &face, -1};
}

BuiltNic make_virtio(const PcNic& nic, std::string name, const NicSlot& slot) {
  auto card = std::make_unique<VirtioNet>(slot.bus.wires().dma, *nic.backend,
                                          VirtioNet::Options{nic.mac, nic.queues, nic.mtu});
  card->offer_packed_rings(nic.packed_rings);
  NetCard& face = *card;
  return built(std::make_unique<VirtioPci>(slot.bus, free_place(slot), name, std::move(card)), face,
               nic);
}

struct NicModel {
  std::string_view name;
  std::string_view aliases;  // between spaces
  Maker make;
  std::string_view rom;  // Debian's ipxe-qemu: efi-NAME.rom; empty: it cannot boot
};
constexpr NicModel kModels[] = {{"virtio-net", " virtio virtio-net-pci ", make_virtio, "virtio"},
                                {"e1000", " e1000-82540em ", make_intel<E1000>, "e1000"},
                                {"e1000e", " e1000e-82574l ", make_intel<E1000e>, "e1000e"},
                                {"rtl8139", "", make_rtl8139, "rtl8139"},
                                {"pcnet", " pcnet-pci ", make_pcnet, "pcnet"},
                                {"ne2k_pci", " ne2k-pci ne2000 ", make_ne2k_pci, "ne2k_pci"},
                                {"ne2k_isa", " ne2k-isa ", make_ne2k_isa, ""}};

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

// Cards are silent at the start unless somebody asks: a network boot that finds nobody takes a
// minute.
bool starts_from_network(const MachineConfig& config) {
  return config.boot_order.find('n') != std::string::npos;
}

constexpr std::string_view kRomFolder = "/usr/lib/ipxe/qemu/";
constexpr u64 kMaxRomBytes = kMiB;

Result<std::vector<u8>> find_rom(std::string_view model) {
  const auto it = std::ranges::find(kModels, model, &NicModel::name);
  if (it == std::end(kModels) || it->rom.empty()) return std::vector<u8>{};
  const std::string path = fmt::format("{}efi-{}.rom", kRomFolder, it->rom);  // and for SeaBIOS
  if (::access(path.c_str(), R_OK) != 0) {
    return fail(
        "starting from the network needs {}: apt-get install ipxe-qemu, or leave n out of "
        "--boot",
        path);
  }
  auto image = read_file(path, kMaxRomBytes);
  if (image && image->empty())
    return fail("{} is empty: apt-get install --reinstall ipxe-qemu", path);
  return image;
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

std::string format_mac(const MacAddress& mac) {
  return fmt::format("{:02x}:{:02x}:{:02x}:{:02x}:{:02x}:{:02x}", mac[0], mac[1], mac[2], mac[3],
                     mac[4], mac[5]);
}

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
    for (const NicConfig& other : nics) {
      if (&other >= &nic || find_nic_model(nic.model) != "ne2k_isa" ||
          find_nic_model(other.model) != "ne2k_isa") {
        continue;
      }
      if (other.port == nic.port || other.irq == nic.irq) {
        return fail(
            "--nic: two ne2k_isa cards share port {:#x} or interrupt {}; give each its own "
            "with iobase= and irq=",
            nic.port, nic.irq);
      }
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
  Hubs hubs;
  for (const NicConfig& nic : config.nics) {
    PcNic built;
    built.queues = nic.queues;
    built.mtu = nic.mtu;
    built.packed_rings = nic.packed_rings;
    built.port = nic.port;
    built.irq = nic.irq;
    built.boot_index = nic.boot_index;
    built.network = nic.network.kind;
    built.model = nic.model.empty() ? kDefaultNicModel : find_nic_model(nic.model);
    if (!nic.mac.empty()) {
      built.mac = *parse_mac(nic.mac);
    } else {
      do {
        built.mac = made_mac(config, next++);
      } while (std::ranges::find(given, built.mac) != given.end());
    }
    if (starts_from_network(config)) {
      auto rom = find_rom(built.model);
      if (!rom) return rom.error();
      built.rom = std::move(*rom);
    }
    NetOptions network = nic.network;
    if (network.kind == "tap" && nic.queues > 1) {
      network.values.emplace_back("queues", std::to_string(nic.queues));
    }
    auto backend = open_net(network, machine_lock, hubs);
    if (!backend) return backend.error();
    built.backend = std::move(*backend);
    out.push_back(std::move(built));
  }
  return out;
}

BuiltNic make_nic(const PcNic& nic, std::string name, const NicSlot& slot) {
  for (const NicModel& model : kModels) {
    if (model.name == nic.model) return model.make(nic, std::move(name), slot);
  }
  EMU_CHECK(false && "a card of an unknown model");
  return {};
}

}  // namespace emu
