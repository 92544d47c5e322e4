// SPDX-License-Identifier: Apache-2.0
// Values by metric: a piece of work's id: nanoseconds a run; "first-output": milliseconds from the
// start of the process; "memory": MiB; "translated": KiB of guest code; "exits-KIND": a second.
#include "cli/bench/guest_run.h"
#include "cli/bench/child.h"

#include <fmt/core.h>

#include <charconv>
#include <nlohmann/json.hpp>
#include <sstream>

namespace emu::cli::bench {

const char* work_id(unsigned work) {
  static constexpr const char* kIds[kWorkCount] = {"integer",      "calls",       "floating-point",
                                                   "simd",         "latency",     "bandwidth",
                                                   "system-calls", "page-faults", "switches"};
  return kIds[work];
}

i64 now_ns() {
  return std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count();
}

GuestRun read_report(const GuestReport& report, i64 start_ns) {
  GuestRun run;
  for (unsigned w = 0; w < kWorkCount; ++w) {
    const WorkReport& work = report.work()[w];
    if (work.runs == 0) continue;
    run.values[work_id(w)] = work.ns_per_run();
    run.checksums[work_id(w)] = work.checksum;
  }
  if (report.first_byte_ns() != 0) {
    run.values["first-output"] = static_cast<double>(report.first_byte_ns() - start_ns) / 1e6;
  }
  run.without_syscall = report.without_syscall();
  if (!report.fault().empty()) run.error = "the guest met " + report.fault();
  if (run.error.empty() && !report.finished()) run.error = "the guest did not come to its end";
  return run;
}

void add_counters(const std::string& counters, double seconds,
                  std::map<std::string, double>& values) {
  std::istringstream lines(counters);
  for (std::string line; std::getline(lines, line);) {
    const auto space = line.rfind(' ');
    if (line.starts_with(' ') || space == std::string::npos) continue;
    double count = 0;
    const char* const end = line.data() + line.size();
    if (std::from_chars(line.data() + space + 1, end, count).ec != std::errc{}) continue;
    const std::string name = line.substr(0, space);
    if (name == "translated_bytes") values["translated"] += count / 1024;
    for (const char* const kind : {"entries", "loop_turns"}) {
      if (name == kind) values["exits-all"] += count / seconds;
    }
    if (name.starts_with("exits_")) values["exits-" + name.substr(6)] += count / seconds;
    for (const char* const kind : {"mmio", "faults", "slow_accesses", "interrupts"}) {
      if (name == kind) values["exits-" + name] += count / seconds;
    }
  }
}

std::string pack(const GuestRun& run) {
  return nlohmann::json{{"values", run.values},
                        {"checksums", run.checksums},
                        {"without_syscall", run.without_syscall},
                        {"error", run.error}}
      .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

GuestRun unpack(const std::string& text) {
  const auto json = nlohmann::json::parse(text, nullptr, false);
  GuestRun run;
  run.error = "it ended without a result";
  if (json.is_discarded() || !json.contains("error")) return run;
  run.values = json["values"].get<decltype(run.values)>();
  run.checksums = json["checksums"].get<decltype(run.checksums)>();
  run.without_syscall = json["without_syscall"];
  run.error = json["error"];
  return run;
}

GuestRun run_job(const std::function<GuestRun()>& body, std::chrono::seconds limit) {
  const auto end = run_in_child([&] { return pack(body()); }, limit);
  GuestRun run;
  if (!end) {
    run.error = end.error().message;
    return run;
  }
  run = unpack(end->output);
  if (run.error.empty()) run.values.try_emplace("memory", end->peak_mib);
  return run;
}

}  // namespace emu::cli::bench
