// SPDX-License-Identifier: Apache-2.0
#include "cli/drive_devices.h"

#include <algorithm>
#include <array>

#include "cli/option_values.h"

namespace emu::cli {
namespace {

struct Model {
  std::string_view name;
  std::string_view words;  // for the drive
};

constexpr std::array<Model, 7> kModels{{{"virtio-blk-pci", "if=virtio"},
                                        {"virtio-blk", "if=virtio"},
                                        {"nvme", "if=nvme"},
                                        {"usb-storage", "if=usb"},
                                        {"ide-hd", "if=ide"},
                                        {"ide-drive", "if=ide"},
                                        {"ide-cd", "if=ide,media=cdrom"}}};

bool is_sata_controller(const std::string& model) {
  return model == "ahci" || model == "ich9-ahci";
}

std::string value_of(const KeyValues& pieces, std::string_view name) {
  for (const auto& [key, value] : pieces) {
    if (key == name) return value;
  }
  return {};
}

// "ide.1" with unit 0 is the third of four places.
Result<std::string> ide_place(const std::string& bus, const std::string& unit) {
  if (bus.empty()) return std::string();
  if (bus != "ide.0" && bus != "ide.1")
    return fail(
        "--device: there is no bus {}; there are ide.0 and ide.1, and those of --device "
        "ahci,id=ID: ID.0 to ID.5",
        bus);
  const auto number = parse_number("--device unit", unit.empty() ? "0" : unit, 0, 1);
  if (!number) return number.error();
  return fmt::format(",index={}", (bus == "ide.1" ? 2 : 0) + *number);
}

// What a property adds to the drive's words.
Result<std::string> property(const std::string& model, const std::string& key,
                             const std::string& value) {
  if (key == "serial") return ",serial=" + escape_commas(value);
  if (key == "num-queues" && model.starts_with("virtio-blk")) return ",queues=" + value;
  if (key == "port" && model == "usb-storage") return ",port=" + value;
  if (key == "packed" && model.starts_with("virtio-blk")) return ",packed=" + value;
  constexpr std::array<std::string_view, 8> kWithoutEffect{
      "", "drive", "id", "bus", "unit", "addr", "bootindex", "max_ioqpairs"};
  if (std::ranges::find(kWithoutEffect, key) != kWithoutEffect.end()) return std::string();
  return fail(
      "--device {}: a disk has no property {}; known are drive, serial, bus, unit, "
      "num-queues, packed",
      model, key);
}

Result<std::string> words_for(const Model& model, const KeyValues& pieces,
                              const std::vector<std::string>& sata_buses) {
  std::string words = "," + std::string(model.words);
  if (model.name.starts_with("ide")) {
    const std::string bus = value_of(pieces, "bus");
    const bool is_sata =
        std::ranges::find(sata_buses, bus.substr(0, bus.rfind('.'))) != sata_buses.end();
    if (is_sata && model.name == "ide-cd")
      return fail("--device ide-cd,bus={}: CD-ROM drives are on IDE here; leave bus= out", bus);
    if (is_sata) {
      words = ",if=ahci";
    } else {
      auto place = ide_place(bus, value_of(pieces, "unit"));
      if (!place) return place;
      words += *place;
    }
  }
  for (const auto& [key, value] : pieces) {
    auto more = property(std::string(model.name), key, value);
    if (!more) return more;
    words += *more;
  }
  return words;
}

}  // namespace

Result<void> join_drives_and_devices(std::vector<std::string>& drives,
                                     std::vector<std::string>& devices) {
  std::vector<std::string> sata_buses;
  std::erase_if(devices, [&](const std::string& text) {
    const KeyValues pieces = split_key_values(text);
    if (!pieces.front().first.empty() || !is_sata_controller(pieces.front().second)) return false;
    sata_buses.push_back(value_of(pieces, "id"));
    return true;
  });
  std::vector<std::string> others;
  for (const std::string& text : devices) {
    const KeyValues pieces = split_key_values(text);
    const auto model = std::ranges::find(kModels, pieces.front().second, &Model::name);
    if (!pieces.front().first.empty() || model == kModels.end()) {
      others.push_back(text);
      continue;
    }
    const std::string id = value_of(pieces, "drive");
    if (id.empty() && model->name == "ide-cd") {
      drives.push_back("media=cdrom");
      continue;
    }
    const auto drive = std::ranges::find_if(drives, [&](const std::string& words) {
      return !id.empty() && value_of(split_key_values(words), "id") == id;
    });
    if (drive == drives.end())
      return fail("--device {}: there is no --drive with id={}; add --drive file=F,if=none,id={}",
                  model->name, id, id.empty() ? "X" : id);
    auto words = words_for(*model, pieces, sata_buses);
    if (!words) return words.error();
    *drive += *words;
  }
  devices = std::move(others);
  return {};
}

}  // namespace emu::cli
