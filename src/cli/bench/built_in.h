// SPDX-License-Identifier: Apache-2.0
// The comparison with the built-in guest.
#pragma once

#include "cli/bench/bench.h"
#include "cli/bench/guest_run.h"
#include "cli/bench/results.h"

namespace emu::cli::bench {

// Runs every column in turn, so many rounds; progress goes to standard error. A column that fails
// says why and is left out of the rounds that follow.
[[nodiscard]] Results compare_built_in(const BenchOptions& options);

// What a run's values are as samples of the metrics (results.h): rates from times, by the number of
// instructions of one run where it is known.
[[nodiscard]] std::map<std::string, double> in_units(const GuestRun& run,
                                                     const std::array<u64, kWorkCount>& counts);

// Adds a run's values, and why it failed, to a column.
void add_run(Column& column, const GuestRun& run);
// The host in one line, its load and number of CPUs; for both kinds of comparison.
void describe_host(Results& results);
// Why KVM's numbers are what they are, if it is not a real one.
void explain_kvm(Results& results);
// Rows for the events that columns counted, most frequent first.
void add_exit_metrics(Results& results);

}  // namespace emu::cli::bench
