// SPDX-License-Identifier: Apache-2.0
// Results as one HTML page: plots as inline SVG, a table; nothing is loaded from elsewhere, and the
// colours follow the reader's preference for light or dark.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "cli/bench/results.h"

namespace emu::cli::bench {
namespace {

constexpr double kLabelWidth = 180, kPlotWidth = 560, kRightWidth = 90;
constexpr double kBarHeight = 12, kBarGap = 3, kRowGap = 12, kTop = 26;
constexpr double kWidth = kLabelWidth + kPlotWidth + kRightWidth;

constexpr const char* kHead = R"(<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>emu bench</title>
<style>
:root { color-scheme: light dark; --ink: #1d2329; --faint: #66707a; --line: #d5dae0; --paper: #fff;
  --c0: #6c757d; --c1: #b5542a; --c2: #1f6fb2; --c3: #2d8a57; --warn: #9a5b00; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ec; --faint: #98a3ad; --line: #3a424b;
  --paper: #15191d; --c0: #9aa4ae; --c1: #e58a5c; --c2: #63aee8; --c3: #62c08c; --warn: #e0aa4e; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  margin: 2rem auto; max-width: 62rem; padding: 0 1rem; }
h1 { font-size: 1.4rem; margin: 0; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
p.host { color: var(--faint); margin: .2rem 0 1rem; }
svg { width: 100%; height: auto; max-width: 52rem; } svg text { font-size: 12px; fill: var(--ink); }
svg .axis { stroke: var(--line); } svg .tick { fill: var(--faint); }
svg .whisker { stroke: var(--ink); } svg .dot { fill: var(--ink); fill-opacity: .55; }
.s0 { fill: var(--c0); } .s1 { fill: var(--c1); } .s2 { fill: var(--c2); } .s3 { fill: var(--c3); }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .8rem; border-bottom: 1px solid var(--line); text-align: right;
  white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } td small { color: var(--faint); }
li.warn { color: var(--warn); }
</style></head><body>
)";

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out.push_back(c);
    }
  }
  return out;
}

// A column's colour, the same on every page.
unsigned colour_of(const Column& column) {
  return column.name == "kvm" ? 1 : column.name == "translator" ? 2 : column.name == "qemu" ? 3 : 0;
}

// One bar: a value with its scatter.
struct Bar {
  unsigned colour = 0;
  double value = 0;
  std::vector<double> samples;  // shown as dots
  std::string text;             // beside it
};

struct Row {
  std::string label;
  std::vector<Bar> bars;
};

// The axis: from a value to its place.
struct Axis {
  bool logarithmic = false;
  double low = 0, high = 1;
  [[nodiscard]] double at(double v) const {
    const double part = logarithmic ? std::log(std::max(v, low) / low) / std::log(high / low)
                                    : (v - low) / (high - low);
    return kLabelWidth + kPlotWidth * std::clamp(part, 0.0, 1.0);
  }
  [[nodiscard]] std::vector<double> ticks() const {
    std::vector<double> out;
    if (logarithmic) {
      for (double t = low; t <= high * 1.001; t *= 10) out.push_back(t);
      return out;
    }
    double step = std::pow(10, std::floor(std::log10(high)));
    if (high / step < 2) step /= 5;
    if (high / step < 5) step /= 2;
    for (double t = 0; t <= high * 1.001; t += step) out.push_back(t);
    return out;
  }
};

std::string svg_bar(const Bar& bar, const Axis& axis, double y) {
  const double from = axis.at(axis.logarithmic ? 1 : 0), to = axis.at(bar.value);
  std::string out = fmt::format(
      "<rect class=\"s{}\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{}\" rx=\"2\"/>\n",
      bar.colour, std::min(from, to), y, std::max(std::abs(to - from), 1.5), kBarHeight);
  double right = std::max(from, to);
  for (const double v : bar.samples) {
    right = std::max(right, axis.at(v));
    out += fmt::format("<circle class=\"dot\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"2\"/>\n", axis.at(v),
                       y + kBarHeight / 2);
  }
  return out + fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\">{}</text>\n", right + 6,
                           y + kBarHeight - 2, escaped(bar.text));
}

std::string plot(const std::vector<Row>& rows, const Axis& axis, const std::string& what) {
  double height = kTop;
  for (const Row& r : rows)
    height += static_cast<double>(r.bars.size()) * (kBarHeight + kBarGap) + kRowGap;
  std::string out = fmt::format("<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">\n",
                                kWidth, height, escaped(what));
  for (const double t : axis.ticks()) {
    out += fmt::format(
        "<line class=\"axis\" x1=\"{0:.1f}\" x2=\"{0:.1f}\" y1=\"18\" y2=\"{1}\"/>"
        "<text class=\"tick\" x=\"{0:.1f}\" y=\"12\" text-anchor=\"middle\">{2:g}</text>\n",
        axis.at(t), height, t);
  }
  double y = kTop;
  for (const Row& r : rows) {
    const double tall = static_cast<double>(r.bars.size()) * (kBarHeight + kBarGap);
    out += fmt::format("<text x=\"{}\" y=\"{:.1f}\" text-anchor=\"end\">{}</text>\n",
                       kLabelWidth - 8, y + tall / 2 + 3, escaped(r.label));
    for (const Bar& b : r.bars) {
      out += svg_bar(b, axis, y);
      y += kBarHeight + kBarGap;
    }
    y += kRowGap;
  }
  return out + "</svg>\n";
}

// Times slower than the reference, each sample against the reference's median.
std::string slowdown_plot(const Results& results) {
  std::vector<Row> rows;
  Axis axis{true, 1, 10};
  const Column* reference = reference_of(results);
  for (const Metric& m : results.metrics) {
    Row row{m.label, {}};
    for (const Column& c : results.columns) {
      const double times = times_slower(results, c, m);
      if (times == 0) continue;
      const double base = summarize(*samples_of(*reference, m)).median;
      Bar bar{colour_of(c), times, {}, number_text(times) + "x"};
      for (const double s : *samples_of(c, m)) {
        if (s > 0) bar.samples.push_back(m.more_is_better ? base / s : s / base);
      }
      while (times < axis.low) axis.low /= 10;
      while (times > axis.high) axis.high *= 10;
      row.bars.push_back(std::move(bar));
    }
    if (!row.bars.empty()) rows.push_back(std::move(row));
  }
  if (rows.empty()) return {};
  const std::string title = "Times slower than " + reference->name;
  return fmt::format("<h2>{} (shorter is better, logarithmic)</h2>\n", escaped(title)) +
         plot(rows, axis, title);
}

std::string time_plot(const Results& results) {
  std::vector<Row> rows;
  Axis axis{false, 0, 0};
  std::string unit;
  for (const Metric& m : results.metrics) {
    if (m.group != Metric::Group::kTime) continue;
    Row row{m.label, {}};
    unit = m.unit;
    for (const Column& c : results.columns) {
      const auto* samples = samples_of(c, m);
      if (samples == nullptr) continue;
      const double median = summarize(*samples).median;
      row.bars.push_back({colour_of(c), median, *samples, number_text(median) + " " + m.unit});
      axis.high = std::max(axis.high, *std::ranges::max_element(*samples));
    }
    if (!row.bars.empty()) rows.push_back(std::move(row));
  }
  if (rows.empty() || axis.high <= 0) return {};
  return fmt::format("<h2>Time from the start of the process [{}]</h2>\n", escaped(unit)) +
         plot(rows, axis, "Time from the start of the process");
}

std::string legend(const Results& results) {
  std::string out = "<p>";
  for (const Column& c : results.columns) {
    out += fmt::format(
        "<svg viewBox=\"0 0 12 12\" style=\"width:12px\"><rect class=\"s{}\" width=\"12\" "
        "height=\"12\" rx=\"2\"/></svg> {} &ensp; ",
        colour_of(c), escaped(c.name));
  }
  return out + "</p>\n";
}

std::string table(const Results& results) {
  std::string out = "<h2>Numbers</h2>\n<div class=\"scroll\"><table><tr><th></th>";
  for (const Column& c : results.columns) out += "<th>" + escaped(c.name) + "</th>";
  out += "</tr>\n";
  for (const Metric& m : results.metrics) {
    if (!is_measured(results, m)) continue;
    out += fmt::format("<tr><td>{} <small>{}</small></td>", escaped(m.label), escaped(m.unit));
    for (const Column& c : results.columns) {
      const auto* samples = samples_of(c, m);
      if (samples == nullptr) {
        out += "<td>-</td>";
        continue;
      }
      const Summary s = summarize(*samples);
      const double times = times_slower(results, c, m);
      out += fmt::format("<td>{} <small>±{:.0f}%</small>{}</td>", number_text(s.median),
                         100 * s.spread,
                         times == 0 ? "" : fmt::format(" <small>{}x</small>", number_text(times)));
    }
    out += "</tr>\n";
  }
  return out + "</table></div>\n";
}

}  // namespace

std::string html_text(const Results& results) {
  std::string out = kHead;
  out += fmt::format(
      "<h1>emu bench: {}</h1>\n<p class=\"host\">{}; {} repeats, medians; dots are "
      "single runs</p>\n",
      escaped(results.subject), escaped(results.host), results.repeats);
  out += legend(results) + slowdown_plot(results) + time_plot(results) + table(results) + "<ul>\n";
  for (const std::string& remark : remarks(results)) {
    const bool warns = remark.starts_with("noisy") || remark.starts_with("WRONG");
    out += fmt::format("<li{}>{}</li>\n", warns ? " class=\"warn\"" : "", escaped(remark));
  }
  return out + "</ul>\n</body></html>\n";
}

}  // namespace emu::cli::bench
