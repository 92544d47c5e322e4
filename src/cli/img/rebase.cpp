// SPDX-License-Identifier: Apache-2.0
// emu img rebase.
#include <fmt/core.h>

#include <algorithm>
#include <cstring>

#include "block/open_disk.h"
#include "block/qcow2/qcow2_image.h"
#include "cli/img/arguments.h"
#include "cli/img/commands.h"
#include "cli/img/progress.h"

namespace emu::cli::img {
namespace {

constexpr u64 kPieceBytes = kMiB;

constexpr Option kOptions[] = {
    {'f', "", true, "format"},  {'b', "", true, "backing"},      {'F', "", true, "backing-format"},
    {'u', "", false, "unsafe"}, {'p', "", false, "progress"},    {'q', "quiet", false, "quiet"},
    {'t', "", true, "cache"},   {'T', "", true, "source-cache"},
};

// What a backing image shows; zeros where it is missing or shorter.
Result<void> read_below(DiskImage* image, u64 offset, std::span<u8> out) {
  std::fill(out.begin(), out.end(), u8{0});
  if (image == nullptr || offset >= image->size_bytes()) return {};
  const std::span<u8> one[] = {out.first(std::min<u64>(out.size(), image->size_bytes() - offset))};
  return image->read(offset, one);
}

// Copies into the overlay what the new backing file would show otherwise.
Result<void> keep_contents(DiskImage& overlay, DiskImage* to, Progress& progress) {
  std::vector<u8> old_bytes(kPieceBytes);
  std::vector<u8> new_bytes(kPieceBytes);
  const u64 cluster = std::max<u64>(overlay.info().cluster_bytes, 512);
  for (u64 at = 0; at < overlay.size_bytes();) {
    auto extent = overlay.map(at, std::min(kPieceBytes, overlay.size_bytes() - at));
    if (!extent) return extent.error();
    const u64 n = extent->length_bytes;
    progress.advance(n);
    if (extent->stored == Stored::kBelow) {
      const auto before = std::span(old_bytes).first(n);
      const auto after = std::span(new_bytes).first(n);
      EMU_TRY(read_below(overlay.backing(), at, before));
      EMU_TRY(read_below(to, at, after));
      for (u64 i = 0; i < n; i += cluster) {
        const u64 part = std::min(cluster, n - i);
        if (std::memcmp(&before[i], &after[i], part) == 0) continue;
        const std::span<u8> one[] = {before.subspan(i, part)};
        EMU_TRY(overlay.write(at + i, one));
      }
    }
    at += n;
  }
  return overlay.flush();
}

}  // namespace

Result<int> rebase(Words words) {
  auto a = Arguments::parse(words, kOptions);
  if (!a) return a.error();
  if (a->files().size() != 1 || !a->has("backing"))
    return fail("name one image and, with -b, its new backing file (-b \"\" for none)");
  const std::string& path = a->files()[0];
  const std::string name = a->value("backing");
  const std::string name_format = a->value("backing-format");
  if (!name.empty() && name_format.empty())
    return fail("name the format of the backing file with -F (raw, qcow2, ...)");
  auto format = a->format("format");
  if (!format) return format.error();
  auto image = open_image({.path = path, .format = *format, .with_backing = !a->has("unsafe")});
  if (!image) return image.error();
  auto* overlay = dynamic_cast<qcow2::Qcow2Image*>(image->get());
  if (overlay == nullptr) return fail("{} cannot have a backing file: only qcow2 can", path);
  if (!a->has("unsafe")) {
    std::unique_ptr<DiskImage> to;
    if (!name.empty()) {
      auto new_format = parse_format_name(name_format);
      if (!new_format) return new_format.error();
      auto opened =
          open_image({.path = resolve_name(path, name), .format = *new_format, .read_only = true});
      if (!opened) return opened.error();
      to = std::move(*opened);
    }
    Progress progress(a->has("progress"), overlay->size_bytes());
    EMU_TRY(keep_contents(*overlay, to.get(), progress));
  }
  EMU_TRY(overlay->change_backing_name(name, name_format));
  return 0;
}

}  // namespace emu::cli::img
