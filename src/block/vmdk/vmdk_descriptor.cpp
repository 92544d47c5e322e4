// SPDX-License-Identifier: Apache-2.0
// VMDK descriptors.
#include "block/vmdk/vmdk_descriptor.h"

#include <algorithm>
#include <cstdlib>
#include <sstream>

namespace emu::vmdk {
namespace {

constexpr u64 kMaxSectors = u64{1} << 52;
constexpr std::size_t kMaxExtents = 4096;

std::string unquoted(std::string text) {
  while (!text.empty() && (text.back() == '\r' || text.back() == ' ' || text.back() == '\t'))
    text.pop_back();
  const auto start = text.find_first_not_of(" \t");
  text.erase(0, std::min(start, text.size()));
  if (text.size() >= 2 && text.front() == '"' && text.back() == '"')
    return text.substr(1, text.size() - 2);
  return text;
}

bool is_extent(const std::string& line) {
  return line.starts_with("RW ") || line.starts_with("RDONLY ") || line.starts_with("NOACCESS ");
}

// ACCESS SECTORS TYPE "FILE" [OFFSET IN SECTORS]
Result<ExtentLine> parse_extent(const std::string& line, const std::string& path) {
  std::istringstream in(line);
  std::string access;
  std::string kind;
  u64 sectors = 0;
  in >> access >> sectors >> kind;
  if (!in || sectors == 0 || sectors > kMaxSectors)
    return fail("{} is damaged: its descriptor has the line: {}", path, unquoted(line));
  ExtentLine e;
  e.writable = access == "RW";
  e.size_bytes = sectors * 512;
  if (kind == "ZERO") {
    e.kind = ExtentKind::kZero;
    return e;
  }
  if (kind == "FLAT" || kind == "VMFS") {
    e.kind = ExtentKind::kFlat;
  } else if (kind != "SPARSE") {
    return fail(
        "{} has an extent of type {}, which is not supported; convert it with VMware's "
        "vmware-vdiskmanager",
        path, kind);
  }
  const auto open = line.find('"');
  const auto close = line.rfind('"');
  if (open == std::string::npos || close == open)
    return fail("{} is damaged: its descriptor has the line: {}", path, unquoted(line));
  e.file = line.substr(open + 1, close - open - 1);
  const u64 offset = std::strtoull(line.c_str() + close + 1, nullptr, 10);
  if (offset > kMaxSectors) return fail("{} is damaged: an extent at {}", path, offset);
  e.offset_bytes = e.kind == ExtentKind::kFlat ? offset * 512 : 0;
  return e;
}

}  // namespace

Result<Descriptor> parse_descriptor(std::string_view text, const std::string& path) {
  Descriptor d;
  bool has_parent = false;
  std::string parent;
  text = text.substr(0, text.find('\0'));
  std::istringstream in{std::string(text)};
  for (std::string line; std::getline(in, line);) {
    if (is_extent(line)) {
      auto extent = parse_extent(line, path);
      if (!extent) return extent.error();
      d.extents.push_back(std::move(*extent));
      if (d.extents.size() > kMaxExtents) return fail("{} has too many extents", path);
      continue;
    }
    const auto equals = line.find('=');
    if (line.starts_with('#') || equals == std::string::npos) continue;
    const std::string key = unquoted(line.substr(0, equals));
    const std::string value = unquoted(line.substr(equals + 1));
    if (key == "createType") d.create_type = value;
    if (key == "CID") d.cid = static_cast<u32>(std::strtoul(value.c_str(), nullptr, 16));
    if (key == "parentCID") has_parent = value != "ffffffff";
    if (key == "parentFileNameHint") parent = value;
  }
  if (d.extents.empty()) return fail("{} describes no extents; is it whole?", path);
  if (has_parent && parent.empty())
    return fail("{} needs a parent disk but does not name it", path);
  if (has_parent) d.parent_file = parent;
  return d;
}

std::string descriptor_text(const Descriptor& d, u64 size_bytes) {
  std::string text = fmt::format(
      "# Disk DescriptorFile\nversion=1\nCID={:08x}\nparentCID=ffffffff\ncreateType=\"{}\"\n\n"
      "# Extent description\n",
      d.cid, d.create_type);
  for (const ExtentLine& e : d.extents) {
    const bool flat = e.kind == ExtentKind::kFlat;
    text += fmt::format("RW {} {} \"{}\"{}\n", e.size_bytes / 512, flat ? "FLAT" : "SPARSE", e.file,
                        flat ? " 0" : "");
  }
  const u64 cylinders = std::min<u64>(size_bytes / 512 / 63 / 16, 16383);
  text += fmt::format(
      "\n# The Disk Data Base\n#DDB\n\nddb.virtualHWVersion = \"4\"\n"
      "ddb.geometry.cylinders = \"{}\"\nddb.geometry.heads = \"16\"\n"
      "ddb.geometry.sectors = \"63\"\nddb.adapterType = \"ide\"\n",
      cylinders);
  return text;
}

}  // namespace emu::vmdk
