// SPDX-License-Identifier: Apache-2.0
// emu img check.
#include <fmt/core.h>

#include <nlohmann/json.hpp>

#include "block/host_file.h"
#include "block/image_lock.h"
#include "block/open_disk.h"
#include "block/probe.h"
#include "block/qcow2/qcow2_check.h"
#include "cli/img/arguments.h"
#include "cli/img/commands.h"

namespace emu::cli::img {
namespace {

constexpr int kDamaged = 2;
constexpr int kLeaks = 3;
constexpr int kNothingToCheck = 63;  // qemu-img's

constexpr Option kOptions[] = {
    {'f', "", true, "format"},      {'r', "repair", true, "repair"},
    {'q', "quiet", false, "quiet"}, {'U', "force-share", false, "share"},
    {0, "output", true, "output"},  {0, "json", false, "json"},
};

void print(const qcow2::CheckResult& r) {
  for (const std::string& problem : r.problems) fmt::print("{}\n", problem);
  if (r.corruptions_fixed + r.leaks_fixed != 0)
    fmt::print("{} errors and {} leaked clusters were repaired\n", r.corruptions_fixed,
               r.leaks_fixed);
  if (r.corruptions != 0)
    fmt::print(
        "{} errors were found; data may be wrong. Copy the image, then: emu img check -r "
        "all\n",
        r.corruptions);
  if (r.leaks != 0)
    fmt::print(
        "{} clusters are leaked: space is wasted, but no data is in danger. To free them: "
        "emu img check -r leaks\n",
        r.leaks);
  if (r.corruptions + r.leaks == 0) fmt::print("No errors were found on the image.\n");
  const double total = static_cast<double>(std::max<u64>(r.total_clusters, 1));
  const double used = static_cast<double>(std::max<u64>(r.allocated_clusters, 1));
  fmt::print("{}/{} = {:.2f}% allocated, {:.2f}% fragmented, {:.2f}% compressed clusters\n",
             r.allocated_clusters, r.total_clusters,
             100.0 * static_cast<double>(r.allocated_clusters) / total,
             100.0 * static_cast<double>(r.fragmented_clusters) / used,
             100.0 * static_cast<double>(r.compressed_clusters) / used);
  fmt::print("Image end offset: {}\n", r.end_offset);
}

void print_json(const qcow2::CheckResult& r, const std::string& path) {
  nlohmann::ordered_json j = {{"image-end-offset", r.end_offset},
                              {"total-clusters", r.total_clusters},
                              {"check-errors", 0},
                              {"allocated-clusters", r.allocated_clusters},
                              {"filename", path},
                              {"format", "qcow2"}};
  // As qemu-img: what did not happen is not mentioned.
  const auto add = [&j](const char* name, u64 count) {
    if (count != 0) j[name] = count;
  };
  add("leaks", r.leaks);
  add("leaks-fixed", r.leaks_fixed);
  add("corruptions", r.corruptions);
  add("corruptions-fixed", r.corruptions_fixed);
  add("fragmented-clusters", r.fragmented_clusters);
  add("compressed-clusters", r.compressed_clusters);
  if (!r.problems.empty()) j["problems"] = r.problems;
  fmt::print("{}\n", j.dump(4));
}

// Opening looks at every table; opening for writing also replays a VHDX image's log.
Result<int> check_by_opening(const Arguments& a, DiskFormat format, bool writes) {
  const std::string& path = a.files()[0];
  auto image = open_image({.path = path,
                           .format = format,
                           .read_only = !writes,
                           .lock = !a.has("share"),
                           .with_backing = false});
  if (!image) return image.error();
  if (a.json()) {
    const nlohmann::ordered_json j = {
        {"check-errors", 0}, {"filename", path}, {"format", std::string(format_name(format))}};
    fmt::print("{}\n", j.dump(4));
  } else if (!a.has("quiet")) {
    fmt::print("No errors were found on the image.\n");
  }
  return 0;
}

Result<qcow2::RepairMode> repair_mode(const Arguments& a) {
  const std::string text = a.value("repair");
  if (!a.has("repair")) return qcow2::RepairMode::kNone;
  if (text == "leaks") return qcow2::RepairMode::kLeaks;
  if (text == "all") return qcow2::RepairMode::kAll;
  return fail("-r takes leaks or all, not \"{}\"", text);
}

}  // namespace

Result<int> check(Words words) {
  auto a = Arguments::parse(words, kOptions);
  if (!a) return a.error();
  if (a->files().size() != 1) return fail("name one image");
  auto mode = repair_mode(*a);
  if (!mode) return mode.error();
  auto format = a->format("format");
  if (!format) return format.error();
  const std::string& path = a->files()[0];
  const bool writes = *mode != qcow2::RepairMode::kNone;
  auto file = HostFile::open(path, writes);
  if (!file) return file.error();
  if (!a->has("share")) EMU_TRY(lock_image((*file)->fd(), path, writes));
  if (*format == DiskFormat::kAuto) {
    auto probed = probe_format(**file);
    if (!probed) return probed.error();
    *format = *probed;
  }
  if (*format != DiskFormat::kRaw && *format != DiskFormat::kQcow2) {
    file->reset();
    return check_by_opening(*a, *format, writes);
  }
  if (*format != DiskFormat::kQcow2) {
    fmt::print(stderr, "emu img check: {} images have nothing that could be checked\n",
               format_name(*format));
    return kNothingToCheck;
  }
  auto header = qcow2::read_header(**file);
  if (!header) return header.error();
  auto result = qcow2::check_image(**file, *header, *mode);
  if (!result) return result.error();
  if (a->json()) {
    print_json(*result, path);
  } else if (!a->has("quiet")) {
    print(*result);
  }
  if (result->corruptions != 0) return kDamaged;
  return result->leaks != 0 ? kLeaks : 0;
}

}  // namespace emu::cli::img
