// SPDX-License-Identifier: Apache-2.0
// emu img dd.
// Source: qemu-img(1) "dd".
#include <algorithm>
#include <charconv>

#include "base/bits.h"
#include "block/create_image.h"
#include "block/open_disk.h"
#include "cli/img/arguments.h"
#include "cli/img/commands.h"
#include "cli/img/keys.h"

namespace emu::cli::img {
namespace {

constexpr u64 kMaxBlockBytes = 64 * kMiB;
constexpr u64 kMaxBlocks = u64{1} << 40;

constexpr Option kOptions[] = {
    {'f', "", true, "format"},
    {'O', "", true, "to-format"},
    {'U', "force-share", false, "share"},
    kKeyFile,
    kObject,
    kImageOpts,
};

struct Operands {
  std::string from;
  std::string to;
  u64 block_bytes = 512;
  u64 count = kMaxBlocks;
  u64 skip = 0;
};

Result<u64> block_count(const std::string& name, const std::string& text) {
  u64 number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number > kMaxBlocks)
    return fail("{}={} is not a number of blocks", name, text);
  return number;
}

Result<Operands> read_operands(const std::vector<std::string>& words) {
  Operands o;
  for (const std::string& word : words) {
    const auto equals = word.find('=');
    const std::string name = word.substr(0, equals);
    const std::string value = equals == std::string::npos ? "" : word.substr(equals + 1);
    if (name == "if") {
      o.from = value;
    } else if (name == "of") {
      o.to = value;
    } else if (name == "bs") {
      auto size = parse_size(value);
      if (!size) return size.error();
      o.block_bytes = *size;
    } else if (name == "count" || name == "skip") {
      auto number = block_count(name, value);
      if (!number) return number.error();
      (name == "count" ? o.count : o.skip) = *number;
    } else {
      return fail("{} is none of if=, of=, bs=, count= and skip=", word);
    }
  }
  if (o.from.empty() || o.to.empty()) return fail("name a source with if= and a target with of=");
  if (o.from == o.to) return fail("{} is both source and target; name another target", o.from);
  if (o.block_bytes == 0 || o.block_bytes > kMaxBlockBytes)
    return fail("bs= is from 1 byte to {}", size_text(kMaxBlockBytes));
  return o;
}

}  // namespace

Result<int> dd(Words words) {
  auto a = Arguments::parse(words, kOptions);
  if (!a) return a.error();
  auto operands = read_operands(a->files());
  if (!operands) return operands.error();
  auto options = source_options(*a, operands->from, "format");
  if (!options) return options.error();
  auto source = open_image(*options);
  if (!source) return source.error();
  auto format = a->has("to-format") ? a->format("to-format") : Result<DiskFormat>(DiskFormat::kRaw);
  if (!format) return format.error();
  const u64 block = operands->block_bytes;
  const u64 size = (*source)->size_bytes();
  const u64 start = operands->skip >= size / block + 1 ? size : operands->skip * block;
  const u64 wanted = operands->count >= size / block + 1 ? size : operands->count * block;
  const u64 length = std::min(size - std::min(start, size), wanted);
  EMU_TRY(create_image({.path = operands->to,
                        .format = *format,
                        .size_bytes = align_up(length, 512),
                        .options = {}}));
  if (length == 0) return 0;
  auto target = open_image({.path = operands->to, .format = *format, .never_flush = true});
  if (!target) return target.error();
  std::vector<u8> bytes(std::max<u64>(block, 64 * kKiB));
  for (u64 at = 0; at < length;) {
    const std::span<u8> part[] = {std::span(bytes).first(std::min<u64>(bytes.size(), length - at))};
    EMU_TRY((*source)->read(start + at, part));
    if (!is_all_zero(part[0])) EMU_TRY((*target)->write(at, part));
    at += part[0].size();
  }
  EMU_TRY((*target)->flush());
  return 0;
}

}  // namespace emu::cli::img
