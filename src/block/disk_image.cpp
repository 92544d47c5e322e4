// SPDX-License-Identifier: Apache-2.0
// How sizes and names of images are shown to people.
#include "block/disk_image.h"

#include <algorithm>
#include <array>
#include <cerrno>

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

bool DiskImage::read_at_once(u64, Pieces) {
  return false;
}

std::optional<HostPlace> DiskImage::place(bool, u64, Pieces) {
  return std::nullopt;
}

Result<MapExtent> DiskImage::map(u64 offset, u64 max_bytes) {
  return MapExtent{Stored::kData, false, std::min(max_bytes, size_bytes() - offset), std::nullopt};
}

Result<void> DiskImage::resize(u64) {
  return Error{ENOTSUP, fmt::format("{} cannot change its size: its format does not allow that; "
                                    "convert it to qcow2 first",
                                    describe())};
}

Result<void> DiskImage::write_compressed(u64, std::span<const u8>) {
  return Error{ENOTSUP, fmt::format("{} cannot hold compressed data; use qcow2, or a "
                                    "streamOptimized vmdk",
                                    describe())};
}

Result<void> DiskImage::make_empty() {
  return Error{ENOTSUP, fmt::format("{} cannot be emptied; only a qcow2 image can", describe())};
}

Result<ChainExtent> map_chain(DiskImage& image, u64 offset, u64 max_bytes) {
  ChainExtent found;
  for (DiskImage* layer = &image;; ++found.depth) {
    auto extent = layer->map(offset, max_bytes);
    if (!extent) return extent.error();
    found.extent = *extent;
    if (extent->stored != Stored::kBelow) {
      found.present = true;
      return found;
    }
    max_bytes = extent->length_bytes;
    DiskImage* below = layer->backing();
    if (below == nullptr || offset >= below->size_bytes()) break;
    max_bytes = std::min(max_bytes, below->size_bytes() - offset);
    layer = below;
  }
  found.extent = MapExtent{Stored::kZero, false, max_bytes, std::nullopt};
  return found;
}

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
