// SPDX-License-Identifier: Apache-2.0
#include "cli/bench/boot.h"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>

#include "cli/bench/boot_marks.h"
#include "cli/bench/built_in.h"
#include "cli/bench/child.h"
#include "cli/bench/guest_run.h"
#include "cli/command_line.h"
#include "machine/machine.h"
#include "ui/screenshot.h"

namespace emu::cli::bench {
namespace {

using Group = Metric::Group;

constexpr unsigned kUsualLimit = 60;
constexpr std::chrono::milliseconds kScreenPeriod{100};
constexpr std::chrono::seconds kTimeToStop{15};

// The marks as the machine's threads see them. The machine lock is held by who sends.
class Watch final {
 public:
  explicit Watch(std::string until) : marks_(std::move(until)) {}
  void more(const char* source, std::span<const u8> bytes) {
    const std::lock_guard guard(mutex_);
    marks_.more(source, {reinterpret_cast<const char*>(bytes.data()), bytes.size()}, since());
  }
  void screen(const std::string& text) {
    const std::lock_guard guard(mutex_);
    marks_.screen(text, since());
  }
  [[nodiscard]] bool finished() {
    const std::lock_guard guard(mutex_);
    return marks_.finished();
  }
  [[nodiscard]] std::map<std::string, double> seconds() {
    const std::lock_guard guard(mutex_);
    std::map<std::string, double> out;
    for (const auto& [mark, ns] : marks_.seen()) out[mark] = static_cast<double>(ns) / 1e9;
    return out;
  }
  [[nodiscard]] i64 since() const { return now_ns() - start_; }

 private:
  const i64 start_ = now_ns();
  std::mutex mutex_;
  BootMarks marks_;
};

class WatchedStream final : public CharBackend {
 public:
  WatchedStream(Watch& watch, const char* name) : watch_(watch), name_(name) {}
  void send(std::span<const u8> bytes) override { watch_.more(name_, bytes); }
  void set_receiver(CharReceiver*) override {}

 private:
  Watch& watch_;
  const char* name_;
};

GuestRun boot(const MachineConfig& config, const std::string& until, std::chrono::seconds limit) {
  Watch watch(until);
  WatchedStream serial(watch, "serial"), debug(watch, "debug");
  GuestRun run;
  auto machine = Machine::create(config, {serial, &debug});
  if (!machine) {
    run.error = "cannot run: " + machine.error().message;
    return run;
  }
  Machine& m = **machine;
  const i64 began = watch.since();
  m.start();
  const auto end = std::chrono::steady_clock::now() + limit;
  while (!watch.finished() && !m.wait_finished(kScreenPeriod)) {
    if (std::chrono::steady_clock::now() > end) break;
    watch.screen(screen_text(m));
  }
  const bool ended = m.finished();
  const double seconds = static_cast<double>(watch.since() - began) / 1e9;
  m.request_quit();
  (void)m.wait_finished(kTimeToStop);
  run.values = watch.seconds();
  if (!watch.finished()) {
    run.error = ended ? "the guest ended before user space" : "";
    if (ended && !m.end().message.empty()) run.error = m.end().message;
    if (!ended) run.error = fmt::format("no sign of user space within {} s", limit.count());
  }
  if (!m.is_stuck()) add_counters(m.engine_counters(), seconds, run.values);
  return run;
}

std::vector<Metric> boot_metrics() {
  return {{"first-output", "first output", "s", false, Group::kTime},
          {"firmware", "firmware done", "s", false, Group::kTime},
          {"kernel", "kernel", "s", false, Group::kTime},
          {"user-space", "user space", "s", false, Group::kTime},
          {"memory", "memory, peak", "MiB", false, Group::kMachine},
          {"translated", "guest code translated", "KiB", false, Group::kMachine}};
}

std::string name_of(const MachineConfig& config) {
  const std::string path = config.linux_boot.kernel.empty() && !config.drives.empty()
                               ? config.drives[0].file
                               : config.linux_boot.kernel;
  return path.substr(path.rfind('/') + 1);
}

}  // namespace

Result<MachineConfig> machine_to_compare(const BenchOptions& options) {
  auto line = parse_command_line(options.machine);
  if (!line) return line.error();
  if (line->action == Action::kPrintText) return fail("an option among these only prints text");
  MachineConfig config = line->config;
  if (config.drives.empty() && config.linux_boot.kernel.empty() && config.firmware.empty()) {
    return fail("nothing to start: name a disk image, --cdrom or --kernel");
  }
  for (DriveConfig& drive : config.drives) {
    drive.snapshot = drive.media == DriveMedia::kDisk && !drive.read_only;
  }
  config.display = DisplayKind::kNone;
  config.serial = {};
  config.debug_console = {};
  config.vnc.clear();
  config.monitor.clear();
  config.screenshot.clear();
  config.audio = "none";
  return config;
}

Results compare_boots(const BenchOptions& options, const MachineConfig& config) {
  Results results;
  results.subject = name_of(config);
  results.repeats = options.repeats;
  results.metrics = boot_metrics();
  describe_host(results);
  const std::chrono::seconds limit(options.limit_s != 0 ? options.limit_s : kUsualLimit);
  std::vector<EngineChoice> engines;
  for (const auto& [name, engine] :
       {std::pair{"kvm", EngineChoice::kKvm}, std::pair{"translator", EngineChoice::kTcg}}) {
    if (!options.wants(name)) continue;
    results.columns.push_back({name, "", {}, {}});
    engines.push_back(engine);
  }
  for (unsigned round = 1; round <= options.repeats; ++round) {
    for (std::size_t i = 0; i < engines.size(); ++i) {
      Column& column = results.columns[i];
      if (!column.missing.empty()) continue;
      fmt::print(stderr, "round {} of {}: {}\n", round, options.repeats, column.name);
      MachineConfig one = config;
      one.engine = engines[i];
      add_run(column,
              run_job([&] { return boot(one, options.until, limit); }, limit + kTimeToStop));
    }
  }
  explain_kvm(results);
  add_exit_metrics(results);
  return results;
}

}  // namespace emu::cli::bench
