// SPDX-License-Identifier: Apache-2.0
// emu img resize.
#include <fmt/core.h>

#include "base/bits.h"
#include "block/create_image.h"
#include "block/open_disk.h"
#include "cli/img/arguments.h"
#include "cli/img/commands.h"

namespace emu::cli::img {
namespace {

constexpr Option kOptions[] = {
    {'f', "", true, "format"},
    {0, "shrink", false, "shrink"},
    {'q', "quiet", false, "quiet"},
};

Result<u64> wanted_size(const std::string& text, u64 now) {
  const char sign = text.empty() ? 0 : text[0];
  auto bytes = parse_size(sign == '+' || sign == '-' ? text.substr(1) : text);
  if (!bytes) return bytes;
  if (sign == '+')
    return range_fits(now, *bytes, u64{1} << 62) ? Result<u64>(now + *bytes)
                                                 : fail("that is too large");
  if (sign != '-') return bytes;
  if (*bytes >= now) return fail("the disk has only {}", size_text(now));
  return now - *bytes;
}

}  // namespace

Result<int> resize(Words words) {
  auto a = Arguments::parse(words, kOptions);
  if (!a) return a.error();
  if (a->files().size() != 2) return fail("name one image and its new size");
  auto format = a->format("format");
  if (!format) return format.error();
  auto image = open_image({.path = a->files()[0], .format = *format});
  if (!image) return image.error();
  const u64 before = (*image)->size_bytes();
  auto size = wanted_size(a->files()[1], before);
  if (!size) return size.error();
  if (*size < before && !a->has("shrink"))
    return fail("{} would lose everything behind {}; if you want that, add --shrink", a->files()[0],
                size_text(*size));
  EMU_TRY((*image)->resize(*size));
  EMU_TRY((*image)->flush());
  if (!a->has("quiet"))
    fmt::print("{}: {} is now {}\n", a->files()[0], size_text(before),
               size_text((*image)->size_bytes()));
  return 0;
}

}  // namespace emu::cli::img
