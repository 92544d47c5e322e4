// SPDX-License-Identifier: Apache-2.0
// emu img snapshot.
#include <fmt/chrono.h>
#include <fmt/core.h>

#include "block/open_disk.h"
#include "block/qcow2/qcow2_image.h"
#include "cli/img/arguments.h"
#include "cli/img/commands.h"
#include "cli/img/snapshot_list.h"

namespace emu::cli::img {
namespace {

constexpr Option kOptions[] = {
    {'f', "", true, "format"},     {'l', "", false, "list"},   {'a', "", true, "apply"},
    {'c', "", true, "create"},     {'d', "", true, "delete"},  {'q', "quiet", false, "quiet"},
    {0, "output", true, "output"}, {0, "json", false, "json"},
};

Result<void> change(qcow2::Qcow2Image& image, const Arguments& a) {
  if (a.has("create")) return image.make_snapshot(a.value("create"));
  if (a.has("apply")) return image.apply_snapshot(a.value("apply"));
  return image.delete_snapshot(a.value("delete"));
}

}  // namespace

void print_snapshots(const std::vector<SnapshotInfo>& snapshots) {
  fmt::print("{:<8} {:<20} {:>10} {:<19}  {}\n", "ID", "TAG", "VM SIZE", "DATE", "VM CLOCK");
  for (const SnapshotInfo& s : snapshots) {
    const u64 ms = s.vm_clock_ns / 1'000'000;
    fmt::print("{:<8} {:<20} {:>10} {:%Y-%m-%d %H:%M:%S}  {:02}:{:02}:{:02}.{:03}\n", s.id, s.name,
               size_text(s.vm_state_bytes), fmt::localtime(static_cast<std::time_t>(s.date_s)),
               ms / 3'600'000, ms / 60'000 % 60, ms / 1000 % 60, ms % 1000);
  }
}

nlohmann::ordered_json snapshots_json(const std::vector<SnapshotInfo>& snapshots) {
  auto list = nlohmann::ordered_json::array();
  for (const SnapshotInfo& s : snapshots) {
    list.push_back({{"vm-clock-nsec", s.vm_clock_ns % 1'000'000'000},
                    {"name", s.name},
                    {"date-sec", s.date_s},
                    {"date-nsec", s.date_ns},
                    {"vm-clock-sec", s.vm_clock_ns / 1'000'000'000},
                    {"id", s.id},
                    {"vm-state-size", s.vm_state_bytes}});
  }
  return list;
}

Result<int> snapshot(Words words) {
  auto a = Arguments::parse(words, kOptions);
  if (!a) return a.error();
  if (a->files().size() != 1) return fail("name one image");
  const int changes = int{a->has("create")} + int{a->has("apply")} + int{a->has("delete")};
  if (changes + int{a->has("list")} > 1) return fail("give one of -l, -a, -c and -d");
  auto format = a->format("format");
  if (!format) return format.error();
  auto image = open_image(
      {.path = a->files()[0], .format = *format, .read_only = changes == 0, .with_backing = false});
  if (!image) return image.error();
  auto* with_snapshots = dynamic_cast<qcow2::Qcow2Image*>(image->get());
  if (with_snapshots == nullptr)
    return fail("{} cannot have internal snapshots: only qcow2 images can", a->files()[0]);
  if (changes != 0) {
    EMU_TRY(change(*with_snapshots, *a));
    return 0;
  }
  const ImageInfo about = (*image)->info();
  if (a->json()) {
    fmt::print("{}\n", snapshots_json(about.snapshots).dump(4));
  } else if (!about.snapshots.empty()) {
    fmt::print("Snapshot list:\n");
    print_snapshots(about.snapshots);
  }
  return 0;
}

}  // namespace emu::cli::img
