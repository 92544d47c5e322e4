// SPDX-License-Identifier: Apache-2.0
#include "cli/bench/bench.h"

#include <fmt/core.h>

#include <algorithm>
#include <fstream>

#include "cli/bench/boot.h"
#include "cli/bench/built_in.h"
#include "cli/bench/results.h"

namespace emu::cli::bench {
namespace {

constexpr const char* kHelp =
    "usage: emu bench [options] [disk, or any options of the machine]\n"
    "Runs the same guest under each engine in turn and compares them. Without a disk: a small\n"
    "guest of our own, whose work also runs natively.\n"
    "\n"
    "  --repeats N        rounds; medians and spread are over them (5)\n"
    "  --quick            two short rounds: a few seconds, rough numbers\n"
    "  --engines LIST     of native, kvm, translator, qemu (all but qemu)\n"
    "  --qemu             also under qemu-system-x86_64 -accel tcg, if it is there\n"
    "  --json             for programs, on standard output\n"
    "  --html FILE        a page with plots that needs nothing else\n"
    "  --until TEXT       with a disk: the run ends when this is on the serial port or screen\n"
    "                     (a login prompt or a shell's)\n"
    "  --time-limit N     seconds for one run (60)\n"
    "\n"
    "Disks are not changed: each run has a throw-away overlay.\n"
    "Exit status: 0 done, 1 no engine could run or one computed something else, 2 wrong call.\n";

Result<void> write_file(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  file.close();
  if (!file) return fail("cannot write {}", path);
  return {};
}

}  // namespace

int run_bench(std::span<const std::string> arguments) {
  const auto options = parse_bench_options(arguments);
  if (!options) {
    fmt::print(stderr, "emu bench: {}\n", options.error().message);
    return 2;
  }
  if (options->help) {
    fmt::print("{}", kHelp);
    return 0;
  }
  if (!options->html.empty() && !std::ofstream(options->html, std::ios::app)) {
    fmt::print(stderr, "emu bench: cannot write {}\n", options->html);
    return 1;
  }
  Results results;
  if (options->machine.empty()) {
    results = compare_built_in(*options);
  } else {
    const auto config = machine_to_compare(*options);
    if (!config) {
      fmt::print(stderr, "emu bench: {}\n", config.error().message);
      return 2;
    }
    results = compare_boots(*options, *config);
  }
  fmt::print("{}", options->json ? json_text(results) : table_text(results));
  if (!options->html.empty()) {
    if (const auto written = write_file(options->html, html_text(results)); !written) {
      fmt::print(stderr, "emu bench: {}\n", written.error().message);
      return 1;
    }
  }
  return reference_of(results) == nullptr || !wrong_work(results).empty() ? 1 : 0;
}

}  // namespace emu::cli::bench
