// SPDX-License-Identifier: Apache-2.0
#include "cli/bench/built_in.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstdlib>
#include <thread>

#include "cli/bench/child.h"
#include "machine/engine_report.h"

namespace emu::cli::bench {
namespace {

// How fast time stamp counters tick, about: it only decides how long a piece of work takes.
constexpr u64 kTicksPerMs = 2'500'000;
constexpr unsigned kUsualLimit = 60;

using Group = Metric::Group;

std::vector<Metric> metrics_of(const std::array<u64, kWorkCount>& counts) {
  const bool counted = counts[kInteger] != 0;
  const char* const rate = counted ? "MIPS" : "runs/ms";
  return {{"integer", "integer", rate, true},
          {"calls", "function calls", rate, true},
          {"floating-point", "floating point", rate, true},
          {"simd", "SIMD", rate, true},
          {"latency", "memory latency", "ns", false},
          {"bandwidth", "memory copy", "GB/s", true},
          {"system-calls", "system call", "ns", false},
          {"page-faults", "page fault", "ns", false},
          {"switches", "context switch", "ns", false},
          {"first-output", "time to first output", "ms", false, Group::kTime},
          {"memory", "memory, peak", "MiB", false, Group::kMachine},
          {"translated", "guest code translated", "KiB", false, Group::kMachine}};
}

struct Candidate {
  std::string name;
  std::function<GuestRun(const GuestJob&)> run;
};

std::vector<Candidate> candidates(const BenchOptions& options) {
  const std::vector<Candidate> all{
      {"native", run_natively},
      {"kvm", [](const GuestJob& job) { return run_under_engine(EngineChoice::kKvm, job); }},
      {"translator", [](const GuestJob& job) { return run_under_engine(EngineChoice::kTcg, job); }},
      {"qemu", run_under_qemu}};
  std::vector<Candidate> out;
  std::ranges::copy_if(all, std::back_inserter(out),
                       [&](const Candidate& c) { return options.wants(c.name); });
  return out;
}

void note_syscalls(Results& results, const Column& column, const GuestRun& run) {
  const std::string note = column.name +
                           ": SYSCALL in ring 3 does not raise the privilege here; the guest made "
                           "its system calls by UD2.";
  if (run.without_syscall && std::ranges::find(results.notes, note) == results.notes.end()) {
    results.notes.push_back(note);
  }
}

}  // namespace

void add_run(Column& column, const GuestRun& run) {
  for (const auto& [id, value] : run.values) column.samples[id].push_back(value);
  column.checksums.insert(run.checksums.begin(), run.checksums.end());
  column.missing = run.error;
}

void explain_kvm(Results& results) {
  const auto kvm = std::ranges::find(results.columns, "kvm", &Column::name);
  if (kvm == results.columns.end() || kvm->samples.empty()) return;
  const KvmVerdict verdict = inspect_engines().kvm;
  if (!verdict.usable()) results.notes.push_back("kvm: " + verdict.reason + ".");
}

std::map<std::string, double> in_units(const GuestRun& run,
                                       const std::array<u64, kWorkCount>& counts) {
  auto out = run.values;
  const auto change = [&](unsigned work, auto&& to) {
    const auto found = out.find(work_id(work));
    if (found != out.end()) found->second = to(found->second);
  };
  for (const unsigned work : {kInteger, kCalls, kFloatingPoint, kSimd}) {
    const double instructions = counts[kInteger] != 0 ? static_cast<double>(counts[work]) : 1e3;
    change(work, [&](double ns) { return instructions / ns * 1e3; });
  }
  change(kLatency, [](double ns) { return ns / kHopsPerRun; });
  change(kBandwidth, [](double ns) { return kCopiedPerRun / ns; });
  change(kSystemCalls, [](double ns) { return ns / kCallsPerRun; });
  change(kPageFaults, [](double ns) { return ns / kFaultPages; });
  change(kSwitches, [](double ns) { return ns / kSwitchesPerRun; });
  return out;
}

void describe_host(Results& results) {
  results.host_cpus = std::max(1u, std::thread::hardware_concurrency());
  if (::getloadavg(&results.load, 1) != 1) results.load = 0;
  results.host = fmt::format("{}, {} CPUs, load {:.1f}", inspect_engines().processor,
                             results.host_cpus, results.load);
}

void add_exit_metrics(Results& results) {
  std::map<std::string, double> most;
  for (const Column& c : results.columns) {
    for (const auto& [id, samples] : c.samples) {
      if (id.starts_with("exits-")) most[id] = std::max(most[id], summarize(samples).median);
    }
  }
  std::vector<std::pair<std::string, double>> rows(most.begin(), most.end());
  std::ranges::stable_sort(rows, [](const auto& a, const auto& b) { return a.second > b.second; });
  for (const auto& [id, value] : rows) {
    if (value == 0) continue;
    const std::string kind = id.substr(6);
    results.metrics.push_back(
        {id, kind == "all" ? "exits, all" : "exits, " + kind, "1/s", false, Group::kMachine});
  }
}

Results compare_built_in(const BenchOptions& options) {
  Results results;
  results.subject = "built-in guest";
  results.repeats = options.repeats;
  describe_host(results);
  const auto counts = count_instructions();
  results.metrics = metrics_of(counts);
  const GuestJob job{options.work_ms * kTicksPerMs,
                     std::chrono::seconds(options.limit_s != 0 ? options.limit_s : kUsualLimit)};
  const auto runs = candidates(options);
  for (const Candidate& c : runs) results.columns.push_back({c.name, "", {}, {}});
  for (unsigned round = 1; round <= options.repeats; ++round) {
    for (std::size_t i = 0; i < runs.size(); ++i) {
      Column& column = results.columns[i];
      if (!column.missing.empty()) continue;
      fmt::print(stderr, "round {} of {}: {}\n", round, options.repeats, column.name);
      GuestRun run = runs[i].run(job);
      run.values = in_units(run, counts);
      add_run(column, run);
      note_syscalls(results, column, run);
    }
  }
  if (options.wants("native")) {
    results.notes.push_back(
        "native: the host's kernel serves system calls, page faults and (through pipes) context "
        "switches; in a guest the guest's own small kernel does.");
  }
  explain_kvm(results);
  add_exit_metrics(results);
  return results;
}

}  // namespace emu::cli::bench
