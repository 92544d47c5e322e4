// SPDX-License-Identifier: Apache-2.0
// emu img bitmap: the actions are done in the order in which they are given.
#include <algorithm>

#include "block/open_disk.h"
#include "block/qcow2/qcow2_image.h"
#include "cli/img/arguments.h"
#include "cli/img/commands.h"
#include "cli/img/keys.h"

namespace emu::cli::img {
namespace {

constexpr u64 kMinDefaultGranularity = 4 * kKiB;
constexpr u64 kMaxDefaultGranularity = 64 * kKiB;

constexpr Option kOptions[] = {
    {0, "add", false, "add"},
    {0, "remove", false, "remove"},
    {0, "clear", false, "clear"},
    {0, "enable", false, "enable"},
    {0, "disable", false, "disable"},
    {0, "merge", true, "merge"},
    {'g', "granularity", true, "granularity"},
    {'b', "source-file", true, "source"},
    {'F', "source-format", true, "source-format"},
    {'f', "", true, "format"},
    kKeyFile,
    kObject,
    kImageOpts,
};

struct Target {
  qcow2::Qcow2Image& image;
  std::string name;
  qcow2::Qcow2Image* source;
};

// Actions in order; what is no action changes nothing.
Result<void> act(const Arguments& a, const Target& t, const std::string& action,
                 const std::string& value) {
  if (action == "add") {
    auto granularity = a.size(
        "granularity",
        std::clamp(t.image.info().cluster_bytes, kMinDefaultGranularity, kMaxDefaultGranularity));
    if (!granularity) return granularity.error();
    // As qemu-img: --add --disable makes one that never recorded.
    return t.image.add_bitmap(t.name, *granularity, true);
  }
  if (action == "remove") return t.image.remove_bitmap(t.name);
  if (action == "clear") return t.image.clear_bitmap(t.name);
  if (action == "enable") return t.image.set_bitmap_records(t.name, true);
  if (action == "disable") return t.image.set_bitmap_records(t.name, false);
  if (action == "merge")
    return t.image.merge_bitmap(t.name, t.source != nullptr ? *t.source : t.image, value);
  return {};
}

Result<qcow2::Qcow2Image*> as_qcow2(DiskImage& image, const std::string& path) {
  auto* qcow2 = dynamic_cast<qcow2::Qcow2Image*>(&image);
  if (qcow2 == nullptr) return fail("{} cannot have bitmaps: only qcow2 images can", path);
  return qcow2;
}

}  // namespace

Result<int> bitmap(Words words) {
  auto a = Arguments::parse(words, kOptions);
  if (!a) return a.error();
  if (a->files().size() != 2) return fail("name one image and one bitmap");
  constexpr std::string_view kActions[] = {"add", "remove", "clear", "enable", "disable", "merge"};
  if (std::none_of(std::begin(kActions), std::end(kActions),
                   [&](std::string_view action) { return a->has(action); }))
    return fail("give at least one of --add, --remove, --clear, --enable, --disable and --merge");
  if (a->has("granularity") && !a->has("add")) return fail("-g belongs to --add");
  if (a->has("source") && !a->has("merge")) return fail("-b belongs to --merge");
  auto options = source_options(*a, a->files()[0], "format");
  if (!options) return options.error();
  options->read_only = false;
  options->with_backing = false;
  auto opened = open_image(*options);
  if (!opened) return opened.error();
  auto image = as_qcow2(**opened, a->files()[0]);
  if (!image) return image.error();
  Target target{**image, a->files()[1], nullptr};
  std::unique_ptr<DiskImage> source;
  if (a->has("source")) {
    auto format = a->format("source-format");
    if (!format) return format.error();
    auto from = open_image(
        {.path = a->value("source"), .format = *format, .read_only = true, .with_backing = false});
    if (!from) return from.error();
    source = std::move(*from);
    auto sourced = as_qcow2(*source, a->value("source"));
    if (!sourced) return sourced.error();
    target.source = *sourced;
  }
  for (const auto& [action, value] : a->in_order()) EMU_TRY(act(*a, target, action, value));
  return 0;
}

}  // namespace emu::cli::img
