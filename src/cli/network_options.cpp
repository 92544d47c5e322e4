// SPDX-License-Identifier: Apache-2.0
#include "cli/network_options.h"

#include <algorithm>
#include <array>

#include "cli/option_values.h"
#include "machine/network.h"

namespace emu::cli {
namespace {

// A card's settings among a network's.
Result<void> take_setting(const std::string& key, const std::string& value, NicConfig& nic) {
  if (key == "queues" || key == "mtu") {
    const bool mtu = key == "mtu";
    const auto number = parse_number("--nic " + key, value, mtu ? 68 : 1, mtu ? 65535 : 16);
    if (!number) return number.error();
    if (mtu) nic.mtu = static_cast<u16>(*number);
    if (!mtu) nic.queues = static_cast<unsigned>(*number);
  } else if (key == "iobase" || key == "irq") {
    const bool port = key == "iobase";
    const auto number = parse_number("--nic " + key, value, port ? 0x200 : 3, port ? 0x3e0 : 15);
    if (!number) return number.error();
    if (port && *number % 32 != 0) return fail("--nic iobase: {} is no multiple of 32", value);
    if (port) nic.port = static_cast<u16>(*number);
    if (!port) nic.irq = static_cast<unsigned>(*number);
  } else if (key == "bootindex") {
    const auto number = parse_number("--nic " + key, value, 0, 1000);
    if (!number) return number.error();
    nic.boot_index = static_cast<int>(*number);
  } else if (key == "packed") {
    const auto on = emu::parse_switch(key, value);
    if (!on) return on.error();
    nic.packed_rings = *on;
  } else if (key == "model") {
    nic.model = value;
  } else if (key == "mac" || key == "macaddr") {
    nic.mac = value;
  } else if (key != "id") {
    nic.network.values.emplace_back(key, value);
  }
  return {};
}

Result<NicConfig> parse_nic(const std::string& text) {
  NicConfig out;
  bool first = true;
  for (const auto& [key, value] : split_key_values(text)) {
    if (first && (key.empty() || key == "type")) {
      out.network.kind = value;
    } else {
      EMU_TRY(take_setting(key.empty() ? value : key, key.empty() ? "on" : value, out));
    }
    first = false;
  }
  return out;
}

std::string value_of(const KeyValues& pieces, std::string_view name) {
  for (const auto& [key, value] : pieces) {
    if (key == name) return value;
  }
  return {};
}

// Whether "--device TEXT" is a network card; if so it is added, on the --netdev that it names.
Result<bool> take_device(const std::string& text, std::vector<std::string>& netdevs,
                         MachineConfig& config) {
  const KeyValues pieces = split_key_values(text);
  const std::string model = pieces.front().second;
  if (!pieces.front().first.empty() || find_nic_model(model).empty()) return false;
  const std::string wanted = value_of(pieces, "netdev");
  NicConfig nic;
  nic.network.kind = "null";
  if (!wanted.empty()) {
    const auto it = std::ranges::find_if(netdevs, [&](const std::string& netdev) {
      return value_of(split_key_values(netdev), "id") == wanted;
    });
    if (it == netdevs.end()) {
      return fail("--device {}: there is no unused --netdev with id={}", model, wanted);
    }
    auto parsed = parse_nic(*it);
    if (!parsed) return parsed.error();
    nic = std::move(*parsed);
    netdevs.erase(it);
  }
  nic.model = model;
  for (const auto& [key, value] : pieces) {
    if (key.empty() || key == "netdev" || key == "id" || key == "bus" || key == "addr" ||
        key == "mq" || key == "vectors") {
      continue;  // queues= says it all
    }
    constexpr std::array kKnown{"mac", "mtu", "host_mtu", "packed", "iobase", "irq", "bootindex"};
    if (std::ranges::find(kKnown, key) == kKnown.end()) {
      return fail("--device {}: a network card has no property {}", model, key);
    }
    EMU_TRY(take_setting(key == "host_mtu" ? "mtu" : key, value, nic));
  }
  config.nics.push_back(std::move(nic));
  return true;
}

// "--netdev hubport,hubid=0,netdev=ID": the network ID is on the wire of the cards on that hub too.
Result<void> take_hub_links(std::vector<std::string>& netdevs, MachineConfig& config) {
  const auto hub_of = [](const NetOptions& words) {
    const std::string id = words.value("hubid");
    return id.empty() ? "0" : id;
  };
  const auto is_link = [](const std::string& text) {
    const NetOptions words = parse_net_words(text);
    return words.kind == "hubport" && !words.value("netdev").empty();
  };
  for (auto link = std::ranges::find_if(netdevs, is_link); link != netdevs.end();
       link = std::ranges::find_if(netdevs, is_link)) {
    const NetOptions words = parse_net_words(*link);
    const std::string wanted = words.value("netdev");
    netdevs.erase(link);
    const auto it = std::ranges::find_if(netdevs, [&](const std::string& netdev) {
      return value_of(split_key_values(netdev), "id") == wanted;
    });
    if (it == netdevs.end())
      return fail("--netdev hubport: there is no --netdev with id={}", wanted);
    const auto on_hub = std::ranges::find_if(config.nics, [&](const NicConfig& nic) {
      return nic.network.kind == "hubport" && hub_of(nic.network) == hub_of(words);
    });
    if (on_hub == config.nics.end()) {
      return fail("--netdev hubport,netdev={}: no card is on this hub; add --nic hubport,hubid={}",
                  wanted, hub_of(words));
    }
    on_hub->network.values.emplace_back("uplink", *it);
    netdevs.erase(it);
  }
  return {};
}

Result<void> add_forwards(const std::vector<std::string>& forwards, MachineConfig& config) {
  if (forwards.empty()) return {};
  const auto user = std::ranges::find_if(
      config.nics, [](const NicConfig& nic) { return nic.network.kind == "user"; });
  if (user == config.nics.end()) {
    return fail("-p {} needs a user network; add --nic user", forwards.front());
  }
  for (const std::string& forward : forwards) {
    const auto parsed = parse_port_forward(forward);
    if (!parsed) return fail("-p: {}", parsed.error().message);
    user->network.values.emplace_back("hostfwd", forward);
  }
  return {};
}

}  // namespace

Result<void> interpret_network(NetworkWords& words, MachineConfig& config) {
  bool none = words.nodefaults;
  for (const std::string& text : words.nics) {
    if (text == "none") {
      none = true;
    } else {
      auto nic = parse_nic(text);
      if (!nic) return nic.error();
      config.nics.push_back(std::move(*nic));
    }
  }
  std::vector<std::string> others;
  for (const std::string& text : words.devices) {
    const auto taken = take_device(text, words.netdevs, config);
    if (!taken) return taken.error();
    if (!*taken) others.push_back(text);
  }
  words.devices = std::move(others);
  EMU_TRY(take_hub_links(words.netdevs, config));
  if (!words.netdevs.empty()) {
    return fail("--netdev {}: no --device uses it; add --device {},netdev=ID, or use --nic",
                words.netdevs.front(), kDefaultNicModel);
  }
  if (config.nics.empty() && !none) config.nics.emplace_back();
  EMU_TRY(add_forwards(words.forwards, config));
  if (!words.capture.empty()) {
    if (config.nics.empty()) return fail("--capture {}: the machine has no network", words.capture);
    for (std::size_t i = 0; i < config.nics.size(); ++i) {  // one file a card
      std::string path = words.capture;
      if (i != 0) path += fmt::format(".{}", i + 1);
      config.nics[i].network.values.emplace_back("capture", std::move(path));
    }
  }
  const bool indexed =
      std::ranges::any_of(config.nics, [](const NicConfig& nic) { return nic.boot_index >= 0; });
  if (indexed && config.boot_order.find('n') == std::string::npos)
    config.boot_order.insert(0, 1, 'n');
  return check_nics(config.nics);
}

std::string nic_text(const NicConfig& nic) {
  std::string out = nic.network.kind;
  if (!nic.model.empty()) out += ",model=" + nic.model;
  if (!nic.mac.empty()) out += ",mac=" + nic.mac;
  if (nic.queues != 1) out += fmt::format(",queues={}", nic.queues);
  if (nic.mtu != 0) out += fmt::format(",mtu={}", nic.mtu);
  if (nic.packed_rings) out += ",packed=on";
  if (nic.port != NicConfig{}.port) out += fmt::format(",iobase={:#x}", nic.port);
  if (nic.irq != NicConfig{}.irq) out += fmt::format(",irq={}", nic.irq);
  if (nic.boot_index >= 0) out += fmt::format(",bootindex={}", nic.boot_index);
  for (const auto& [key, value] : nic.network.values) {
    out += fmt::format(",{}={}", key, escape_commas(value));
  }
  return out;
}

std::string network_words(const MachineConfig& config) {
  std::string out;
  for (const NicConfig& nic : config.nics) {
    if (!out.empty()) out += ", ";
    out += nic.network.kind + " net";
    for (const auto& [key, value] : nic.network.values) {
      const auto forward = key == "hostfwd" ? parse_port_forward(value) : fail("");
      if (forward) out += fmt::format(", port {} to {}", forward->host.port, forward->guest.port);
    }
  }
  return out.empty() ? "no network" : out;
}

}  // namespace emu::cli
