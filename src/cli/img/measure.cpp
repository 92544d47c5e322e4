// SPDX-License-Identifier: Apache-2.0
// emu img measure.
#include <fmt/core.h>

#include <nlohmann/json.hpp>

#include "base/bits.h"
#include "block/create_image.h"
#include "block/open_disk.h"
#include "cli/img/arguments.h"
#include "cli/img/commands.h"
#include "cli/img/copy.h"

namespace emu::cli::img {
namespace {

constexpr Option kOptions[] = {
    {'f', "", true, "format"},     {'O', "", true, "to-format"},
    {'o', "", true, "options"},    {0, "size", true, "size"},
    {'l', "", true, "snapshot"},   {'U', "force-share", false, "share"},
    {0, "output", true, "output"}, {0, "json", false, "json"},
};

// The bytes of all clusters that hold something not known to be zero.
Result<u64> stored_bytes(DiskImage& image, u64 cluster_bytes) {
  u64 total = 0;
  u64 counted_to = 0;
  for (u64 at = 0; at < image.size_bytes();) {
    auto known = what_is_at(image, at, image.size_bytes() - at);
    if (!known) return known.error();
    const u64 end = at + known->length_bytes;
    if (!known->is_zero) {
      const u64 from = std::max(counted_to, align_down(at, cluster_bytes));
      counted_to = std::max(counted_to, align_up(end, cluster_bytes));
      total += counted_to - from;
    }
    at = end;
  }
  return total;
}

}  // namespace

Result<int> measure(Words words) {
  auto a = Arguments::parse(words, kOptions);
  if (!a) return a.error();
  if (a->has("size") == (a->files().size() == 1) || a->files().size() > 1)
    return fail("name one image, or give --size");
  auto format = a->format("format");
  if (!format) return format.error();
  auto to = a->has("to-format") ? a->format("to-format") : Result<DiskFormat>(DiskFormat::kRaw);
  if (!to) return to.error();
  auto options = a->key_values("options");
  if (!options) return options.error();
  CreateRequest request{.path = "the image", .format = *to, .options = std::move(*options)};
  std::unique_ptr<DiskImage> image;
  if (a->has("size")) {
    auto size = a->size("size", 0);
    if (!size) return size.error();
    request.size_bytes = *size;
  } else {
    auto opened = open_image({.path = a->files()[0],
                              .format = *format,
                              .read_only = true,
                              .lock = !a->has("share"),
                              .snapshot = a->value("snapshot")});
    if (!opened) return opened.error();
    image = std::move(*opened);
    request.size_bytes = image->size_bytes();
  }
  auto measured = measure_image(request);
  if (!measured) return measured.error();
  u64 required = measured->empty;
  if (image && *to != DiskFormat::kRaw) {
    auto stored = stored_bytes(*image, measured->cluster_bytes);
    if (!stored) return stored.error();
    required += *stored;
  }
  if (a->json()) {
    fmt::print(
        "{}\n",
        nlohmann::ordered_json{{"required", required}, {"fully-allocated", measured->full}}.dump(
            4));
  } else {
    fmt::print("required size: {}\nfully allocated size: {}\n", required, measured->full);
  }
  return 0;
}

}  // namespace emu::cli::img
