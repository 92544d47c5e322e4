// SPDX-License-Identifier: Apache-2.0
// emu img commit.
#include <fmt/core.h>

#include "block/open_disk.h"
#include "cli/img/arguments.h"
#include "cli/img/commands.h"
#include "cli/img/copy.h"

namespace emu::cli::img {
namespace {

constexpr Option kOptions[] = {
    {'b', "", true, "base"},      {'f', "", true, "format"},      {'d', "", false, "keep"},
    {'p', "", false, "progress"}, {'q', "quiet", false, "quiet"}, {'t', "", true, "cache"},
};

Result<void> move_down(const Arguments& a, DiskFormat format, const ImageInfo& about) {
  auto below = about.backing_format.empty() ? Result<DiskFormat>(DiskFormat::kAuto)
                                            : parse_format_name(about.backing_format);
  if (!below) return below.error();
  auto backing =
      open_image({.path = resolve_name(about.file, about.backing_file), .format = *below});
  if (!backing) return backing.error();
  // The backing file is open for writing; the overlay is read alone.
  auto overlay =
      open_image({.path = about.file, .format = format, .read_only = true, .with_backing = false});
  if (!overlay) return overlay.error();
  if ((*backing)->size_bytes() < (*overlay)->size_bytes())
    EMU_TRY((*backing)->resize((*overlay)->size_bytes()));
  CopyOptions options;
  options.target_is_zero = false;
  options.skip_backing = true;
  options.threads = 1;
  Progress progress(a.has("progress"), (*overlay)->size_bytes());
  EMU_TRY(copy_disk(**overlay, **backing, options, progress));
  return (*backing)->flush();
}

}  // namespace

Result<int> commit(Words words) {
  auto a = Arguments::parse(words, kOptions);
  if (!a) return a.error();
  if (a->files().size() != 1) return fail("name one image");
  auto format = a->format("format");
  if (!format) return format.error();
  ImageInfo about;
  {
    auto image = open_image({.path = a->files()[0], .format = *format, .with_backing = false});
    if (!image) return image.error();
    about = (*image)->info();
  }
  if (about.backing_file.empty())
    return fail("{} has no backing file that could take its data", a->files()[0]);
  if (const std::string base = a->value("base", about.backing_file);
      base != about.backing_file && base != resolve_name(about.file, about.backing_file))
    return fail("{} lies on {}, and its data can go there only; commit {} next", about.file,
                about.backing_file, about.backing_file);
  EMU_TRY(move_down(*a, *format, about));
  if (!a->has("keep")) {
    auto image = open_image({.path = a->files()[0], .format = *format, .with_backing = false});
    if (!image) return image.error();
    EMU_TRY((*image)->make_empty());
    EMU_TRY((*image)->flush());
  }
  if (!a->has("quiet")) fmt::print("{}: its data is in {} now\n", about.file, about.backing_file);
  return 0;
}

}  // namespace emu::cli::img
