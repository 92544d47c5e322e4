// SPDX-License-Identifier: Apache-2.0
// Creation options as text.
#include "block/create_options.h"

#include <algorithm>

#include "block/create_image.h"

namespace emu {

std::string CreateOptionReader::text(std::string_view name, std::string_view otherwise) {
  known_.emplace_back(name);
  std::string value(otherwise);
  for (const auto& [key, given] : options_) {
    if (key == name) value = given;  // the last one counts
  }
  return value;
}

u64 CreateOptionReader::size(std::string_view name, u64 otherwise) {
  const std::string value = text(name, "");
  if (value.empty()) return otherwise;
  auto parsed = parse_size(value);
  if (parsed) return *parsed;
  if (first_error_) first_error_ = fail("{}: {}", name, parsed.error().message);
  return otherwise;
}

bool CreateOptionReader::flag(std::string_view name, bool otherwise) {
  const std::string value = text(name, otherwise ? "on" : "off");
  if (value == "on" || value == "true" || value == "yes") return true;
  if (value != "off" && value != "false" && value != "no" && first_error_)
    first_error_ = fail("{} is on or off, not \"{}\"", name, value);
  return false;
}

Result<void> CreateOptionReader::finish() {
  for (const auto& [key, value] : options_) {
    if (std::find(known_.begin(), known_.end(), key) != known_.end()) continue;
    std::string list;
    for (const std::string& name : known_) list += (list.empty() ? "" : ", ") + name;
    return fail("{} images have no option \"{}\"; they have {}", format_, key, list);
  }
  return first_error_;
}

}  // namespace emu
