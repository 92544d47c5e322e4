// SPDX-License-Identifier: Apache-2.0
// emu img compare.
#include <fmt/core.h>

#include <nlohmann/json.hpp>

#include "block/open_disk.h"
#include "cli/img/arguments.h"
#include "cli/img/commands.h"
#include "cli/img/copy.h"
#include "cli/img/keys.h"

namespace emu::cli::img {
namespace {

constexpr int kCouldNotCompare = 2;

constexpr Option kOptions[] = {
    {'f', "", true, "format"},
    {'F', "", true, "format2"},
    {'s', "", false, "strict"},
    {'p', "", false, "progress"},
    {'q', "quiet", false, "quiet"},
    {'U', "force-share", false, "share"},
    {0, "output", true, "output"},
    {0, "json", false, "json"},
    kKeyFile,
    kObject,
    kImageOpts,
};

Result<std::unique_ptr<DiskImage>> open(const Arguments& a, std::size_t which) {
  auto options = source_options(a, a.files()[which], which == 0 ? "format" : "format2");
  if (!options) return options.error();
  return open_image(*options);
}

struct Outcome {
  std::string text = "Images are identical.";
  std::optional<u64> offset;
  bool equal = true;
};

Result<Outcome> compare_disks(DiskImage& x, DiskImage& y, const Arguments& a) {
  const bool same_size = x.size_bytes() == y.size_bytes();
  if (!same_size && a.has("strict")) return Outcome{"Strict mode: Image size mismatch!", {}, false};
  Progress progress(a.has("progress"), std::min(x.size_bytes(), y.size_bytes()));
  auto differs = first_difference(x, y, progress);
  if (!differs) return differs.error();
  if (!*differs && !same_size) {  // more disk is fine if it is zero
    DiskImage& larger = x.size_bytes() > y.size_bytes() ? x : y;
    differs = first_nonzero(larger, std::min(x.size_bytes(), y.size_bytes()));
    if (!differs) return differs.error();
  }
  if (!*differs) return Outcome{};
  return Outcome{fmt::format("Content mismatch at offset {}!", **differs), *differs, false};
}

Result<int> compare_images(Words words) {
  auto a = Arguments::parse(words, kOptions);
  if (!a) return a.error();
  if (a->files().size() != 2) return fail("name two images");
  auto x = open(*a, 0);
  if (!x) return x.error();
  auto y = open(*a, 1);
  if (!y) return y.error();
  auto outcome = compare_disks(**x, **y, *a);
  if (!outcome) return outcome.error();
  if (a->json()) {
    nlohmann::ordered_json j = {{"equal", outcome->equal}};
    if (outcome->offset) j["offset"] = *outcome->offset;
    fmt::print("{}\n", j.dump(4));
  } else if (!a->has("quiet")) {
    fmt::print("{}\n", outcome->text);
  }
  return outcome->equal ? 0 : 1;
}

}  // namespace

Result<int> compare(Words words) {
  auto status = compare_images(words);
  if (status) return status;
  fmt::print(stderr, "emu img compare: {}\n", status.error().message);
  return kCouldNotCompare;
}

}  // namespace emu::cli::img
