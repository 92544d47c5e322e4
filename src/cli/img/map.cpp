// SPDX-License-Identifier: Apache-2.0
// emu img map.
#include <fmt/core.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "block/open_disk.h"
#include "cli/img/arguments.h"
#include "cli/img/commands.h"
#include "cli/img/keys.h"

namespace emu::cli::img {
namespace {

constexpr Option kOptions[] = {
    {'f', "", true, "format"},
    {'s', "start-offset", true, "start"},
    {'l', "max-length", true, "length"},
    {'U', "force-share", false, "share"},
    {0, "output", true, "output"},
    {0, "json", false, "json"},
    kKeyFile,
    kObject,
    kImageOpts,
};

struct Stretch {
  u64 start = 0;
  ChainExtent at;
};

bool continues(const Stretch& s, const ChainExtent& next) {
  const MapExtent& a = s.at.extent;
  const MapExtent& b = next.extent;
  const bool offsets_fit = a.file_offset.has_value() == b.file_offset.has_value() &&
                           (!a.file_offset || *a.file_offset + a.length_bytes == *b.file_offset);
  return a.stored == b.stored && a.compressed == b.compressed && offsets_fit &&
         s.at.depth == next.depth && s.at.present == next.present;
}

std::string layer_file(DiskImage* image, unsigned depth) {
  for (; depth != 0 && image->backing() != nullptr; --depth) image = image->backing();
  return image->info().file;
}

void print_stretch(const Stretch& s, DiskImage& image) {
  const MapExtent& e = s.at.extent;
  if (e.stored != Stored::kData || !e.file_offset) return;
  fmt::print("{:<16} {:<16} {:<16} {}\n", fmt::format("{:#x}", s.start),
             fmt::format("{:#x}", e.length_bytes), fmt::format("{:#x}", *e.file_offset),
             layer_file(&image, s.at.depth));
}

nlohmann::ordered_json to_json(const Stretch& s) {
  const MapExtent& e = s.at.extent;
  nlohmann::ordered_json j = {{"start", s.start},
                              {"length", e.length_bytes},
                              {"depth", s.at.depth},
                              {"present", s.at.present},
                              {"zero", e.stored == Stored::kZero},
                              {"data", e.stored == Stored::kData}};
  if (e.compressed) j["compressed"] = true;
  if (e.file_offset) j["offset"] = *e.file_offset;
  return j;
}

}  // namespace

Result<int> map(Words words) {
  auto a = Arguments::parse(words, kOptions);
  if (!a) return a.error();
  if (a->files().size() != 1) return fail("name one image");
  auto options = source_options(*a, a->files()[0], "format");
  if (!options) return options.error();
  auto image = open_image(*options);
  if (!image) return image.error();
  if (!a->json()) fmt::print("{:<16} {:<16} {:<16} {}\n", "Offset", "Length", "Mapped to", "File");
  auto list = nlohmann::ordered_json::array();
  const auto emit = [&](const Stretch& s) {
    if (s.at.extent.length_bytes == 0) return;
    if (a->json()) {
      list.push_back(to_json(s));
    } else {
      print_stretch(s, **image);
    }
  };
  Stretch stretch;
  const u64 size = (*image)->size_bytes();
  auto start = a->size("start", 0);
  if (!start) return start.error();
  auto length = a->size("length", size);
  if (!length) return length.error();
  const u64 end = *start > size ? size : *start + std::min(*length, size - *start);
  for (u64 at = *start; at < end;) {
    auto next = map_chain(**image, at, end - at);
    if (!next) return next.error();
    if (stretch.at.extent.length_bytes != 0 && continues(stretch, *next)) {
      stretch.at.extent.length_bytes += next->extent.length_bytes;
    } else {
      emit(stretch);
      stretch = {at, *next};
    }
    at += next->extent.length_bytes;
  }
  emit(stretch);
  if (a->json()) fmt::print("{}\n", list.dump(4));
  return 0;
}

}  // namespace emu::cli::img
