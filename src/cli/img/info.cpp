// SPDX-License-Identifier: Apache-2.0
// emu img info, and the description of images that other commands share.
#include "block/image_info.h"

#include <fmt/chrono.h>
#include <fmt/core.h>

#include <nlohmann/json.hpp>

#include "block/open_disk.h"
#include "cli/img/arguments.h"
#include "cli/img/commands.h"
#include "cli/img/keys.h"
#include "cli/img/snapshot_list.h"

namespace emu::cli::img {
namespace {

using Json = nlohmann::ordered_json;

constexpr Option kOptions[] = {
    {'f', "", true, "format"},
    {0, "backing-chain", false, "chain"},
    {'U', "force-share", false, "share"},
    {0, "output", true, "output"},
    {0, "json", false, "json"},
    kKeyFile,
    kObject,
    kImageOpts,
};

Json to_json(const InfoValue& value) {
  return std::visit([](const auto& v) { return Json(v); }, value);
}

std::vector<std::string> flags_of(const BitmapInfo& bitmap) {
  std::vector<std::string> flags;
  if (bitmap.is_in_use) flags.emplace_back("in-use");
  if (bitmap.records) flags.emplace_back("auto");
  return flags;
}

Json to_json(const std::vector<BitmapInfo>& bitmaps) {
  Json list = Json::array();
  for (const BitmapInfo& b : bitmaps)
    list.push_back(
        {{"flags", flags_of(b)}, {"name", b.name}, {"granularity", b.granularity_bytes}});
  return list;
}

void print(const std::vector<BitmapInfo>& bitmaps) {
  fmt::print("    bitmaps:\n");
  for (std::size_t i = 0; i < bitmaps.size(); ++i) {
    fmt::print("        [{}]:\n            flags:\n", i);
    const std::vector<std::string> flags = flags_of(bitmaps[i]);
    for (std::size_t n = 0; n < flags.size(); ++n)
      fmt::print("                [{}]: {}\n", n, flags[n]);
    fmt::print("            name: {}\n            granularity: {}\n", bitmaps[i].name,
               bitmaps[i].granularity_bytes);
  }
}

Json to_json(const ImageInfo& info) {
  Json j;
  if (!info.snapshots.empty()) j["snapshots"] = snapshots_json(info.snapshots);
  if (!info.backing_format.empty()) j["backing-filename-format"] = info.backing_format;
  j["virtual-size"] = info.virtual_bytes;
  j["filename"] = info.file;
  if (info.cluster_bytes != 0) j["cluster-size"] = info.cluster_bytes;
  j["format"] = info.format;
  j["actual-size"] = info.actual_bytes;
  if (info.is_encrypted) j["encrypted"] = true;
  if (!info.details.empty()) {
    Json details = Json::object();
    for (const auto& [name, value] : info.details) {
      if (name == "refcount-bits" && !info.bitmaps.empty())
        details["bitmaps"] = to_json(info.bitmaps);
      details[name] = to_json(value);
    }
    j["format-specific"] = {{"type", info.format}, {"data", details}};
  }
  if (!info.backing_file.empty()) {
    j["full-backing-filename"] = resolve_name(info.file, info.backing_file);
    j["backing-filename"] = info.backing_file;
  }
  j["dirty-flag"] = info.is_dirty;
  return j;
}

std::string text_of(const InfoValue& value) {
  if (const bool* b = std::get_if<bool>(&value)) return *b ? "true" : "false";
  if (const u64* n = std::get_if<u64>(&value)) return std::to_string(*n);
  return std::get<std::string>(value);
}

void print(const ImageInfo& info) {
  fmt::print("image: {}\nfile format: {}\nvirtual size: {} ({} bytes)\ndisk size: {}\n", info.file,
             info.format, size_text(info.virtual_bytes), info.virtual_bytes,
             size_text(info.actual_bytes));
  if (info.is_encrypted) fmt::print("encrypted: yes\n");
  if (info.cluster_bytes != 0) fmt::print("cluster_size: {}\n", info.cluster_bytes);
  if (info.is_dirty) fmt::print("not closed properly: yes\n");
  if (!info.backing_file.empty()) {
    const std::string full = resolve_name(info.file, info.backing_file);
    fmt::print("backing file: {}{}\n", info.backing_file,
               full == info.backing_file ? "" : " (actual path: " + full + ")");
    if (!info.backing_format.empty()) fmt::print("backing file format: {}\n", info.backing_format);
  }
  if (!info.snapshots.empty()) {
    fmt::print("Snapshot list:\n");
    print_snapshots(info.snapshots);
  }
  if (info.details.empty()) return;
  fmt::print("Format specific information:\n");
  for (const auto& [name, value] : info.details) {
    if (name == "refcount-bits" && !info.bitmaps.empty()) print(info.bitmaps);
    fmt::print("    {}: {}\n", name, text_of(value));
  }
}

}  // namespace

Result<int> info(Words words) {
  auto a = Arguments::parse(words, kOptions);
  if (!a) return a.error();
  if (a->files().size() != 1) return fail("name one image");
  auto first_options = source_options(*a, a->files()[0], "format");
  if (!first_options) return first_options.error();
  std::string path = first_options->path;
  DiskFormat format = first_options->format;
  Json chain = Json::array();
  for (bool first = true;; first = false) {
    auto image = open_image({.path = path,
                             .format = format,
                             .read_only = true,
                             .lock = !a->has("share"),
                             .with_backing = false});
    if (!image) return image.error();
    const ImageInfo about = (*image)->info();
    if (a->json()) {
      chain.push_back(to_json(about));
    } else {
      fmt::print("{}", first ? "" : "\n");
      print(about);
    }
    if (!a->has("chain") || about.backing_file.empty() || chain.size() > 64) break;
    path = resolve_name(path, about.backing_file);
    auto next = about.backing_format.empty() ? Result<DiskFormat>(DiskFormat::kAuto)
                                             : parse_format_name(about.backing_format);
    if (!next) return next.error();
    format = *next;
  }
  if (a->json()) fmt::print("{}\n", (a->has("chain") ? chain : chain[0]).dump(4));
  return 0;
}

}  // namespace emu::cli::img
