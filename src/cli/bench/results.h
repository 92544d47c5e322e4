// SPDX-License-Identifier: Apache-2.0
// What a comparison measured, and what is made of it: plain data, the same for the built-in guest
// and for disks.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/types.h"

namespace emu::cli::bench {

// One row: a quantity that every column may have.
struct Metric {
  enum class Group : u8 { kWork, kTime, kMachine };
  std::string id;     // "integer": stable, for programs
  std::string label;  // for people
  std::string unit;
  bool more_is_better = false;
  Group group = Group::kWork;
};

struct Column {
  std::string name;                                    // "native", "kvm", "translator", "qemu"
  std::string missing;                                 // why it could not run; empty if it could
  std::map<std::string, std::vector<double>> samples;  // by metric, one a repeat
  std::map<std::string, u64> checksums;                // by metric
};

struct Results {
  std::string subject;  // what was run: "built-in guest", "disk.qcow2"
  std::string host;     // processor, number of CPUs
  unsigned repeats = 0;
  double load = 0;  // runnable processes before the start, one minute's average
  unsigned host_cpus = 1;
  std::vector<Metric> metrics;
  std::vector<Column> columns;
  std::vector<std::string> notes;  // whole sentences
};

// The middle and the scatter of some samples.
struct Summary {
  double median = 0;
  double spread = 0;  // half of the range, as a part of the median
};

// Of at least one sample.
[[nodiscard]] Summary summarize(std::vector<double> samples);

// The column's summary for a metric; nothing if it has none.
[[nodiscard]] const std::vector<double>* samples_of(const Column& column, const Metric& metric);
// The column that others are compared with: "native", or else the first that ran; null: none.
[[nodiscard]] const Column* reference_of(const Results& results);
// How many times slower than the reference; 0 if that cannot be said.
[[nodiscard]] double times_slower(const Results& results, const Column& column,
                                  const Metric& metric);

// What the same work differed by from repeat to repeat: the median of the reference's spreads.
[[nodiscard]] double noise(const Results& results);
// Whether differences between columns are to be distrusted, by repeats that differ or by load.
[[nodiscard]] bool is_noisy(const Results& results);
// Metrics whose checksums differ between columns: one of them computes something else.
[[nodiscard]] std::vector<std::string> wrong_work(const Results& results);

// "4,210", "37.2", "0.81": three or four significant digits.
[[nodiscard]] std::string number_text(double value);
// Whether any column has samples of it.
[[nodiscard]] bool is_measured(const Results& results, const Metric& metric);
// Sentences about noise, missing columns and wrong checksums, and the notes.
[[nodiscard]] std::vector<std::string> remarks(const Results& results);

// For people, programs and browsers.
[[nodiscard]] std::string table_text(const Results& results);
[[nodiscard]] std::string json_text(const Results& results);
[[nodiscard]] std::string html_text(const Results& results);

}  // namespace emu::cli::bench
