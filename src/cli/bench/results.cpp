// SPDX-License-Identifier: Apache-2.0
#include "cli/bench/results.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <set>

namespace emu::cli::bench {
namespace {

constexpr double kNoisySpread = 0.05;

std::string with_commas(const std::string& digits) {
  std::string out;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if (i != 0 && (digits.size() - i) % 3 == 0) out.push_back(',');
    out.push_back(digits[i]);
  }
  return out;
}

}  // namespace

Summary summarize(std::vector<double> samples) {
  std::ranges::sort(samples);
  const std::size_t half = samples.size() / 2;
  Summary out;
  out.median = samples.size() % 2 == 1 ? samples[half] : (samples[half - 1] + samples[half]) / 2;
  if (out.median > 0) out.spread = (samples.back() - samples.front()) / 2 / out.median;
  return out;
}

const std::vector<double>* samples_of(const Column& column, const Metric& metric) {
  const auto found = column.samples.find(metric.id);
  return found == column.samples.end() || found->second.empty() ? nullptr : &found->second;
}

const Column* reference_of(const Results& results) {
  const Column* first = nullptr;
  for (const Column& c : results.columns) {
    if (!c.missing.empty()) continue;
    if (c.name == "native") return &c;
    if (first == nullptr) first = &c;
  }
  return first;
}

double times_slower(const Results& results, const Column& column, const Metric& metric) {
  const Column* reference = reference_of(results);
  if (reference == nullptr || reference == &column || metric.group == Metric::Group::kMachine) {
    return 0;
  }
  const auto* theirs = samples_of(*reference, metric);
  const auto* ours = samples_of(column, metric);
  if (theirs == nullptr || ours == nullptr) return 0;
  const double a = summarize(*ours).median, b = summarize(*theirs).median;
  if (a <= 0 || b <= 0) return 0;
  return metric.more_is_better ? b / a : a / b;
}

double noise(const Results& results) {
  const Column* reference = reference_of(results);
  if (reference == nullptr) return 0;
  std::vector<double> spreads;
  for (const Metric& m : results.metrics) {
    const auto* samples = samples_of(*reference, m);
    if (m.group == Metric::Group::kMachine || samples == nullptr || samples->size() < 2) continue;
    spreads.push_back(summarize(*samples).spread);
  }
  return spreads.empty() ? 0 : summarize(spreads).median;
}

bool is_noisy(const Results& results) {
  return noise(results) > kNoisySpread || results.load > 0.75 * results.host_cpus;
}

std::vector<std::string> wrong_work(const Results& results) {
  std::vector<std::string> wrong;
  for (const Metric& m : results.metrics) {
    std::set<u64> sums;
    for (const Column& c : results.columns) {
      if (const auto found = c.checksums.find(m.id); found != c.checksums.end()) {
        sums.insert(found->second);
      }
    }
    if (sums.size() > 1) wrong.push_back(m.label);
  }
  return wrong;
}

std::string number_text(double value) {
  if (value >= 1000) return with_commas(fmt::format("{:.0f}", value));
  if (value >= 100) return fmt::format("{:.0f}", value);
  if (value >= 10) return fmt::format("{:.1f}", value);
  return value == std::floor(value) ? fmt::format("{:.0f}", value) : fmt::format("{:.2f}", value);
}

bool is_measured(const Results& results, const Metric& metric) {
  return std::ranges::any_of(results.columns,
                             [&](const Column& c) { return samples_of(c, metric) != nullptr; });
}

std::vector<std::string> remarks(const Results& results) {
  std::vector<std::string> out;
  for (const Column& c : results.columns) {
    if (!c.missing.empty()) out.push_back(fmt::format("{}: {}", c.name, c.missing));
  }
  for (const std::string& work : wrong_work(results)) {
    out.push_back(fmt::format("WRONG: the columns computed different things in \"{}\".", work));
  }
  out.insert(out.end(), results.notes.begin(), results.notes.end());
  if (reference_of(results) != nullptr && is_noisy(results)) {
    std::string differed;
    if (results.repeats > 1) {
      differed = fmt::format("the same work differed by ±{:.0f} % from repeat to repeat, ",
                             100 * noise(results));
    }
    out.push_back(fmt::format(
        "noisy host: {}load average {:.1f} on {} CPUs. Believe only large differences, or repeat "
        "on a quiet host.",
        differed, results.load, results.host_cpus));
  }
  return out;
}

}  // namespace emu::cli::bench
