// SPDX-License-Identifier: Apache-2.0
// emu img create.
#include "block/create_image.h"

#include <fmt/core.h>

#include <nlohmann/json.hpp>

#include "block/disk_image.h"
#include "cli/img/arguments.h"
#include "cli/img/commands.h"
#include "cli/img/keys.h"

namespace emu::cli::img {
namespace {

constexpr Option kOptions[] = {
    {'f', "", true, "format"},
    {'b', "", true, "backing"},
    {'F', "", true, "backing-format"},
    {'o', "", true, "options"},
    {'u', "", false, "unsafe"},
    {'q', "quiet", false, "quiet"},
    {0, "output", true, "output"},
    {0, "json", false, "json"},
    kKeyFile,
    kObject,
};

// qemu-img also takes size and backing file as options.
void take_over(CreateRequest& request, std::string& size) {
  std::erase_if(request.options, [&](const auto& option) {
    if (option.first == "size") size = option.second;
    if (option.first == "backing_file") request.backing_file = option.second;
    if (option.first == "backing_fmt") request.backing_format = option.second;
    return option.first == "size" || option.first == "backing_file" ||
           option.first == "backing_fmt";
  });
}

}  // namespace

Result<int> create(Words words) {
  auto arguments = Arguments::parse(words, kOptions);
  if (!arguments) return arguments.error();
  const Arguments& a = *arguments;
  if (a.files().empty() || a.files().size() > 2) return fail("name one file and its size");
  auto format = a.format("format");
  if (!format) return format.error();
  auto options = a.key_values("options");
  if (!options) return options.error();
  CreateRequest request;
  request.path = a.files()[0];
  request.format = *format == DiskFormat::kAuto ? DiskFormat::kRaw : *format;
  request.options = std::move(*options);
  request.backing_file = a.value("backing");
  request.backing_format = a.value("backing-format");
  request.check_backing = !a.has("unsafe");
  std::string size = a.files().size() == 2 ? a.files()[1] : "";
  take_over(request, size);
  if (!request.backing_file.empty() && request.backing_format.empty())
    return fail(
        "name the format of the backing file with -F (raw, qcow2, ...): guessing it at "
        "every start would let a guest choose it");
  if (!size.empty()) {
    auto bytes = parse_size(size);
    if (!bytes) return bytes.error();
    request.size_bytes = *bytes;
  }
  EMU_TRY(take_secret(a, request));
  EMU_TRY(create_image(request));
  if (a.json()) {
    const nlohmann::ordered_json j = {{"filename", request.path},
                                      {"format", std::string(format_name(request.format))}};
    fmt::print("{}\n", j.dump(4));
  } else if (!a.has("quiet")) {
    fmt::print("made {} ({}{}{})\n", request.path, format_name(request.format),
               request.size_bytes ? ", " + size_text(*request.size_bytes) : "",
               request.backing_file.empty() ? "" : ", on " + request.backing_file);
  }
  return 0;
}

}  // namespace emu::cli::img
