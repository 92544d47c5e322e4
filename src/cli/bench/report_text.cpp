// SPDX-License-Identifier: Apache-2.0
// Results as a table for people and as JSON for programs.
#include <fmt/core.h>

#include <nlohmann/json.hpp>

#include "cli/bench/results.h"

namespace emu::cli::bench {
namespace {

constexpr unsigned kLabelWidth = 30, kNumberWidth = 10, kSpreadWidth = 7, kTimesWidth = 9;
constexpr unsigned kColumnWidth = kNumberWidth + kSpreadWidth + kTimesWidth;

std::string without_trailing_blanks(std::string line) {
  line.erase(line.find_last_not_of(' ') + 1);
  return line;
}

std::string cell(const Results& results, const Column& column, const Metric& metric) {
  const auto* samples = samples_of(column, metric);
  if (samples == nullptr) return fmt::format("{:>{}}{:{}}", "-", kNumberWidth, "", 16);
  const Summary s = summarize(*samples);
  // Counted by hand: ± is two bytes and one column.
  const std::string spread = samples->size() < 2 ? "" : fmt::format("{:.0f}%", 100 * s.spread);
  const double times = times_slower(results, column, metric);
  return fmt::format("{:>{}}{:>{}}{}{:>{}}", number_text(s.median), kNumberWidth,
                     spread.empty() ? " " : "±", kSpreadWidth - spread.size(), spread,
                     times == 0 ? "" : number_text(times) + "x", kTimesWidth - 1);
}

}  // namespace

std::string table_text(const Results& results) {
  std::string out = fmt::format("{}, {} repeat{}; {}\n\n", results.subject, results.repeats,
                                results.repeats == 1 ? "" : "s", results.host);
  std::string line(kLabelWidth, ' ');
  for (const Column& c : results.columns) {
    line += fmt::format("{:>{}}{:{}}", c.name, kNumberWidth, "", kColumnWidth - kNumberWidth);
  }
  out += without_trailing_blanks(line) + "\n";
  auto group = Metric::Group::kWork;
  for (const Metric& m : results.metrics) {
    if (!is_measured(results, m)) continue;
    if (m.group != group) out += "\n";
    group = m.group;
    line = fmt::format("{:<{}}", fmt::format("{} [{}]", m.label, m.unit), kLabelWidth);
    for (const Column& c : results.columns) line += cell(results, c, m);
    out += without_trailing_blanks(line) + "\n";
  }
  if (const Column* reference = reference_of(results); reference != nullptr) {
    out += "\nMedian ± half of the range";
    out += results.columns.size() < 2 ? ".\n" : "; x: times slower than " + reference->name + ".\n";
  }
  for (const std::string& remark : remarks(results)) out += remark + "\n";
  return out;
}

std::string json_text(const Results& results) {
  using Json = nlohmann::ordered_json;
  Json out = {{"subject", results.subject},   {"host", results.host},
              {"repeats", results.repeats},   {"load", results.load},
              {"noise", noise(results)},      {"noisy", is_noisy(results)},
              {"wrong", wrong_work(results)}, {"remarks", remarks(results)},
              {"metrics", Json::array()},     {"columns", Json::array()}};
  for (const Metric& m : results.metrics) {
    out["metrics"].push_back(
        {{"id", m.id}, {"label", m.label}, {"unit", m.unit}, {"more_is_better", m.more_is_better}});
  }
  for (const Column& c : results.columns) {
    Json column = {{"name", c.name}, {"missing", c.missing}, {"results", Json::object()}};
    for (const Metric& m : results.metrics) {
      const auto* samples = samples_of(c, m);
      if (samples == nullptr) continue;
      const Summary s = summarize(*samples);
      Json one = {{"median", s.median}, {"spread", s.spread}, {"samples", *samples}};
      if (const double times = times_slower(results, c, m); times != 0) one["times_slower"] = times;
      column["results"][m.id] = one;
    }
    out["columns"].push_back(column);
  }
  return out.dump(2) + "\n";
}

}  // namespace emu::cli::bench
