// SPDX-License-Identifier: Apache-2.0
// How sizes and names of images are shown to people.
#include "block/disk_image.h"

#include <array>

namespace emu {
namespace {

struct Unit {
  u64 bytes;
  const char* name;
};

Unit unit_for(u64 bytes) {
  constexpr std::array<Unit, 4> kUnits{
      {{kTiB, "TiB"}, {kGiB, "GiB"}, {kMiB, "MiB"}, {kKiB, "KiB"}}};
  for (const Unit& unit : kUnits) {
    if (bytes >= unit.bytes) return unit;
  }
  return {1, "bytes"};
}

// At most two decimals, without trailing zeros.
std::string number_text(u64 bytes, u64 unit, int decimals) {
  std::string text =
      fmt::format("{:.{}f}", static_cast<double>(bytes) / static_cast<double>(unit), decimals);
  if (text.find('.') == std::string::npos) return text;
  text.erase(text.find_last_not_of('0') + 1);
  if (text.ends_with('.')) text.pop_back();
  return text;
}

}  // namespace

std::string size_text(u64 bytes) {
  const Unit unit = unit_for(bytes);
  return number_text(bytes, unit.bytes, 2) + " " + unit.name;
}

std::string part_of_size_text(u64 part_bytes, u64 bytes) {
  const Unit unit = unit_for(bytes);
  return number_text(part_bytes, unit.bytes, 1) + " of " + size_text(bytes);
}

std::string base_name(const std::string& path) {
  const auto slash = path.find_last_of('/');
  return slash == std::string::npos || slash + 1 == path.size() ? path : path.substr(slash + 1);
}

}  // namespace emu
