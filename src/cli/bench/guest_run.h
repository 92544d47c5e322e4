// SPDX-License-Identifier: Apache-2.0
// One run of the benchmark's work: under an engine, natively, or under QEMU; each in a process of
// its own.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "cli/bench/guest_report.h"
#include "machine/machine_config.h"

namespace emu::cli::bench {

struct GuestJob {
  u64 target_ticks = 0;          // of the TSC, for each measured piece of work
  std::chrono::seconds limit{};  // of the whole run
};

// What came of a run, in a form that crosses a pipe.
struct GuestRun {
  std::map<std::string, double> values;  // by metric: see guest_run.cpp
  std::map<std::string, u64> checksums;
  bool without_syscall = false;
  std::string error;  // why it is incomplete; empty if it is not
};

// The image with its parameters filled in.
[[nodiscard]] std::vector<u8> guest_image(const GuestJob& job);

// Each never fails: `error` says what the host or the engine refused, or that the guest did not
// come to its end.
[[nodiscard]] GuestRun run_under_engine(EngineChoice engine, const GuestJob& job);
[[nodiscard]] GuestRun run_natively(const GuestJob& job);
// With Debian's qemu-system-x86_64 and its translator.
[[nodiscard]] GuestRun run_under_qemu(const GuestJob& job);
// `body` in a process of its own, whose peak memory becomes a value.
[[nodiscard]] GuestRun run_job(const std::function<GuestRun()>& body, std::chrono::seconds limit);

// The file that `program` is in PATH; empty if it is not there.
[[nodiscard]] std::string find_program(const std::string& program);

// The native work without a process of its own.
void do_native_work(std::span<const u8> image, const GuestJob& job, GuestReport& report);
// How many instructions one run of each work executes, by single steps in a child process; 0: not
// counted (work that asks the kernel).
[[nodiscard]] std::array<u64, kWorkCount> count_instructions();

// What a finished report says, as values by metric; fills in `error` if it is not finished.
[[nodiscard]] GuestRun read_report(const GuestReport& report, i64 start_ns);
// The id of a piece of work as a metric: "integer", "system-calls".
[[nodiscard]] const char* work_id(unsigned work);
// Adds "name value" lines of an engine's counters, as events per second, to `values`.
void add_counters(const std::string& counters, double seconds,
                  std::map<std::string, double>& values);

[[nodiscard]] std::string pack(const GuestRun& run);
// Text that pack() did not make (a child that died) is a run with an error.
[[nodiscard]] GuestRun unpack(const std::string& text);

// Nanoseconds on a clock that processes share.
[[nodiscard]] i64 now_ns();

}  // namespace emu::cli::bench
