// SPDX-License-Identifier: Apache-2.0
// emu img convert.
#include <fmt/core.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <thread>

#include "block/create_image.h"
#include "block/open_disk.h"
#include "block/qcow2/qcow2_image.h"
#include "cli/img/arguments.h"
#include "cli/img/commands.h"
#include "cli/img/copy.h"
#include "cli/img/keys.h"

namespace emu::cli::img {
namespace {

constexpr unsigned kMinThreads = 4;  // some wait for the host

constexpr Option kOptions[] = {
    {'f', "", true, "format"},
    {'O', "", true, "to-format"},
    {'o', "", true, "options"},
    {'B', "", true, "backing"},
    {'F', "", true, "backing-format"},
    {'c', "", false, "compressed"},
    {'p', "", false, "progress"},
    {'q', "quiet", false, "quiet"},
    {'n', "", false, "no-create"},
    {'S', "", true, "sparse"},
    {'l', "", true, "snapshot"},
    {'m', "", true, "threads"},
    {'W', "", false, "any-order"},
    {'C', "", false, "offload"},  // a hint
    {0, "bitmaps", false, "bitmaps"},
    {0, "salvage", false, "salvage"},
    {'U', "force-share", false, "share"},
    {0, "target-is-zero", false, "zero"},
    {0, "output", true, "output"},
    {0, "json", false, "json"},
    {'t', "", true, "cache"},
    {'T', "", true, "source-cache"},
    kKeyFile,
    kObject,
    kImageOpts,
};

// -l NAME, or qemu-img's -l snapshot.id=ID and -l snapshot.name=NAME.
std::string snapshot_tag(const Arguments& a) {
  const std::string text = a.value("snapshot");
  return text.starts_with("snapshot.") ? text.substr(text.find('=') + 1) : text;
}

struct Sources {
  std::vector<std::unique_ptr<DiskImage>> images;
  u64 total_bytes = 0;
};

Result<Sources> open_sources(const Arguments& a) {
  Sources sources;
  for (std::size_t i = 0; i + 1 < a.files().size(); ++i) {
    auto options = source_options(a, a.files()[i], "format");
    if (!options) return options.error();
    options->snapshot = snapshot_tag(a);
    auto image = open_image(*options);
    if (!image) return image.error();
    sources.total_bytes += (*image)->size_bytes();
    sources.images.push_back(std::move(*image));
  }
  return sources;
}

Result<CreateRequest> target_request(const Arguments& a, u64 size_bytes) {
  CreateRequest request;
  request.path = a.files().back();
  auto format = a.has("to-format") ? a.format("to-format") : Result<DiskFormat>(DiskFormat::kRaw);
  if (!format) return format.error();
  request.format = *format;
  auto options = a.key_values("options");
  if (!options) return options.error();
  request.options = std::move(*options);
  request.size_bytes = size_bytes;
  request.backing_file = a.value("backing");
  request.backing_format = a.value("backing-format");
  std::erase_if(request.options, [&](const auto& option) {
    if (option.first == "backing_file") request.backing_file = option.second;
    if (option.first == "backing_fmt") request.backing_format = option.second;
    return option.first == "backing_file" || option.first == "backing_fmt";
  });
  EMU_TRY(take_secret(a, request));
  if (!request.backing_file.empty() && request.backing_format.empty())
    return fail("name the format of the backing file with -F (raw, qcow2, ...)");
  return request;
}

unsigned thread_count(const Arguments& a) {
  const unsigned host = std::max(kMinThreads, std::thread::hardware_concurrency());
  const std::string text = a.value("threads");
  const unsigned long asked = text.empty() ? host : std::strtoul(text.c_str(), nullptr, 10);
  return static_cast<unsigned>(std::clamp<unsigned long>(asked, 1, 16));
}

Result<void> copy_bitmaps(DiskImage& source, DiskImage& target, const Arguments& a) {
  auto* from = dynamic_cast<qcow2::Qcow2Image*>(&source);
  auto* to = dynamic_cast<qcow2::Qcow2Image*>(&target);
  if (from == nullptr || to == nullptr || a.files().size() != 2)
    return fail("--bitmaps copies from one qcow2 image to another");
  for (const BitmapInfo& b : from->info().bitmaps) {
    EMU_TRY(to->add_bitmap(b.name, b.granularity_bytes, b.records));
    EMU_TRY(to->merge_bitmap(b.name, *from, b.name));
  }
  return {};
}

Result<void> refuse_own_source(const Arguments& a) {
  for (std::size_t i = 0; i + 1 < a.files().size(); ++i) {
    if (a.files()[i] == a.files().back())
      return fail("{} is both source and target; name another target", a.files()[i]);
  }
  return {};
}

}  // namespace

Result<int> convert(Words words) {
  auto arguments = Arguments::parse(words, kOptions);
  if (!arguments) return arguments.error();
  const Arguments& a = *arguments;
  if (a.files().size() < 2) return fail("name one or more sources and a target");
  EMU_TRY(refuse_own_source(a));
  auto sources = open_sources(a);
  if (!sources) return sources.error();
  auto request = target_request(a, sources->total_bytes);
  if (!request) return request.error();
  auto sparse = a.size("sparse", 4 * kKiB);
  if (!sparse) return sparse.error();
  if (*sparse % 512 != 0) return fail("-S takes a multiple of 512");
  if (!a.has("no-create")) EMU_TRY(create_image(*request));
  // As qemu-img: a copy that a crash of the host cut short is made again.
  const bool is_unsafe = a.value("cache", "unsafe") == "unsafe";
  auto target = open_image({.path = request->path,
                            .format = request->format,
                            .never_flush = is_unsafe,
                            .passphrase = request->passphrase});
  if (!target) return target.error();
  if ((*target)->size_bytes() < sources->total_bytes)
    return fail("{} has {}, and {} are needed", request->path, size_text((*target)->size_bytes()),
                size_text(sources->total_bytes));
  CopyOptions options;
  const ImageInfo about = (*target)->info();
  if (about.cluster_bytes != 0) options.cluster_bytes = about.cluster_bytes;
  const bool compressed = a.has("compressed") || about.is_packed;
  options.sparse_bytes = *sparse;
  options.salvage = a.has("salvage");
  const bool is_new = !a.has("no-create") && request->backing_file.empty();
  options.target_is_zero =
      (is_new && request->format != DiskFormat::kLuks) || a.has("zero");  // luks: noise
  options.threads = thread_count(a);
  options.skip_backing = !request->backing_file.empty();
  Progress progress(a.has("progress") && !a.has("quiet"), sources->total_bytes);
  for (const auto& source : sources->images) {
    options.compressed = compressed && options.target_offset % options.cluster_bytes == 0;
    EMU_TRY(copy_disk(*source, **target, options, progress));
    options.target_offset += source->size_bytes();
  }
  if (a.has("bitmaps")) EMU_TRY(copy_bitmaps(*sources->images[0], **target, a));
  EMU_TRY((*target)->flush());
  if (a.json()) {
    const ImageInfo made = (*target)->info();
    fmt::print("{}\n", nlohmann::ordered_json{{"filename", made.file},
                                              {"format", made.format},
                                              {"virtual-size", made.virtual_bytes},
                                              {"actual-size", made.actual_bytes}}
                           .dump(4));
  }
  return 0;
}

}  // namespace emu::cli::img
