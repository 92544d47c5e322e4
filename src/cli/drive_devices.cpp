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

constexpr std::array<Model, 10> kModels{{{"virtio-blk-pci", "if=virtio"},
                                         {"virtio-blk", "if=virtio"},
                                         {"nvme", "if=nvme"},
                                         {"usb-storage", "if=usb"},
                                         {"ide-hd", "if=ide"},
                                         {"ide-drive", "if=ide"},
                                         {"ide-cd", "if=ide,media=cdrom"},
                                         {"scsi-hd", "if=scsi"},
                                         {"scsi-cd", "if=scsi,media=cdrom"},
                                         {"floppy", "if=floppy"}}};

bool is_sata_controller(const std::string& model) {
  return model == "ahci" || model == "ich9-ahci";
}

bool is_scsi_controller(const std::string& model) {
  return model == "virtio-scsi-pci" || model == "virtio-scsi";
}

// The controllers that --device names; ours come with the drives.
struct Controllers {
  std::vector<std::string> sata;  // their ids
  std::vector<std::string> scsi;
  std::string scsi_words;  // for each SCSI drive
};

bool has_bus(const std::vector<std::string>& ids, const std::string& bus) {
  return std::ranges::find(ids, bus.substr(0, bus.rfind('.'))) != ids.end();
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
  if (key == "bootindex") return ",bootindex=" + value;
  if ((key == "scsi-id" || key == "lun") && model.starts_with("scsi"))
    return fmt::format(",{}={}", key, value);
  if (key == "channel" && value == "0" && model.starts_with("scsi")) return std::string();
  constexpr std::array<std::string_view, 7> kWithoutEffect{"",     "drive", "id",          "bus",
                                                           "unit", "addr",  "max_ioqpairs"};
  if (std::ranges::find(kWithoutEffect, key) != kWithoutEffect.end()) return std::string();
  return fail(
      "--device {}: a drive has no property {}; known are drive, serial, bus, unit, bootindex, "
      "num-queues, packed, scsi-id, lun",
      model, key);
}

// What the bus and the place on it add; `model`'s own words come before.
Result<std::string> place_words(const Model& model, const KeyValues& pieces,
                                const Controllers& controllers) {
  const std::string bus = value_of(pieces, "bus");
  const std::string unit = value_of(pieces, "unit");
  if (model.name == "floppy") return unit.empty() ? unit : ",index=" + unit;
  if (model.name.starts_with("scsi")) {
    if (!bus.empty() && !has_bus(controllers.scsi, bus))
      return fail("--device {}: there is no bus {}; --device virtio-scsi-pci,id=ID makes ID.0",
                  model.name, bus);
    return controllers.scsi_words;
  }
  if (!model.name.starts_with("ide")) return std::string();
  if (has_bus(controllers.sata, bus)) return std::string(",if=ahci");
  return ide_place(bus, unit);
}

Result<std::string> words_for(const Model& model, const KeyValues& pieces,
                              const Controllers& controllers) {
  std::string words = "," + std::string(model.words);
  const auto place = place_words(model, pieces, controllers);
  if (!place) return place.error();
  words += *place;
  for (const auto& [key, value] : pieces) {
    auto more = property(std::string(model.name), key, value);
    if (!more) return more;
    words += *more;
  }
  return words;
}

// Takes a controller out of the list; false: this is none.
Result<bool> take_controller(const KeyValues& pieces, Controllers& out) {
  const std::string& model = pieces.front().second;
  if (!pieces.front().first.empty()) return false;
  if (is_sata_controller(model)) {
    out.sata.push_back(value_of(pieces, "id"));
    return true;
  }
  if (!is_scsi_controller(model)) return false;
  if (!out.scsi.empty())
    return fail("--device {}: there is one SCSI controller already; it has 256 targets", model);
  for (const auto& [key, value] : pieces) {
    if (key == "num_queues") {
      out.scsi_words += ",queues=" + value;
    } else if (key == "packed") {
      out.scsi_words += ",packed=" + value;
    } else if (!key.empty() && key != "id" && key != "bus" && key != "addr") {
      return fail("--device {}: unknown property {}; known are id, num_queues, packed", model, key);
    }
  }
  out.scsi.push_back(value_of(pieces, "id"));
  return true;
}

}  // namespace

Result<void> join_drives_and_devices(std::vector<std::string>& drives,
                                     std::vector<std::string>& devices) {
  Controllers controllers;
  std::vector<std::string> parts;
  for (const std::string& text : devices) {
    const auto taken = take_controller(split_key_values(text), controllers);
    if (!taken) return taken.error();
    if (!*taken) parts.push_back(text);
  }
  std::vector<std::string> others;
  for (const std::string& text : parts) {
    const KeyValues pieces = split_key_values(text);
    const auto model = std::ranges::find(kModels, pieces.front().second, &Model::name);
    if (!pieces.front().first.empty() || model == kModels.end()) {
      others.push_back(text);
      continue;
    }
    const std::string id = value_of(pieces, "drive");
    auto words = words_for(*model, pieces, controllers);
    if (!words) return words.error();
    if (id.empty() && model->name.ends_with("-cd")) {
      drives.push_back(words->substr(1));
      continue;
    }
    const auto drive = std::ranges::find_if(drives, [&](const std::string& text_of_drive) {
      return !id.empty() && value_of(split_key_values(text_of_drive), "id") == id;
    });
    if (drive == drives.end())
      return fail("--device {}: there is no --drive with id={}; add --drive file=F,if=none,id={}",
                  model->name, id, id.empty() ? "X" : id);
    *drive += *words;
  }
  devices = std::move(others);
  return {};
}

}  // namespace emu::cli
