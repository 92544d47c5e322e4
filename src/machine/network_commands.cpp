// SPDX-License-Identifier: Apache-2.0
#include "machine/network_commands.h"

#include <charconv>

#include "machine/machine.h"

namespace emu {
namespace {

// "nic1", or just "1": the number; the count of cards if there is no such card.
std::size_t card_number(std::string_view name, std::size_t cards) {
  if (name.starts_with("nic")) name.remove_prefix(3);
  std::size_t number = cards;
  const auto [rest, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  return error == std::errc() && rest == name.data() + name.size() ? std::min(number, cards)
                                                                   : cards;
}

Result<std::string> set_link(Machine& machine, std::span<const std::string> words) {
  if (words.size() != 2 || (words[1] != "on" && words[1] != "off")) {
    return fail("set_link takes a card and on or off, as in: set_link nic0 off");
  }
  const MachineLock lock = machine.lock();
  const auto cards = machine.pc().net_cards();
  const std::size_t number = card_number(words[0], cards.size());
  if (number == cards.size()) {
    return fail("set_link: there is no card {}; info network lists them", words[0]);
  }
  cards[number]->set_link(words[1] == "on");
  return std::string();
}

}  // namespace

std::string describe_networks(Machine& machine) {
  const MachineLock lock = machine.lock();
  const auto cards = machine.pc().net_cards();
  std::string out;
  for (std::size_t i = 0; i < cards.size(); ++i) {
    const PcNic& nic = machine.nics()[i];
    const NetCounters& n = cards[i]->counters();
    out += fmt::format(
        "nic{}: {} {} on {}, link {}; sent {} frames ({} bytes), received {} ({} bytes), dropped "
        "{}\n",
        i, nic.model, format_mac(nic.mac), nic.network, cards[i]->link() ? "on" : "off",
        n.sent_frames, n.sent_bytes, n.received_frames, n.received_bytes, n.dropped_frames);
  }
  return out.empty() ? "no network cards\n" : out;
}

std::vector<ControlCommand> network_commands(Machine& machine) {
  Machine* const m = &machine;
  return {{"set_link", "NAME on|off", "Plug a network card's cable in or pull it",
           [m](std::span<const std::string> words) { return set_link(*m, words); }}};
}

}  // namespace emu
