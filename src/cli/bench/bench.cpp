// SPDX-License-Identifier: Apache-2.0
#include "cli/bench/bench.h"

#include <fmt/core.h>

#include <algorithm>
#include <fstream>

#include "cli/bench/built_in.h"
#include "cli/bench/results.h"

namespace emu::cli::bench {
namespace {

constexpr const char* kHelp =
    "usage: emu bench [options]\n"
    "Runs a small guest of our own under each engine in turn, and its work natively.\n"
    "\n"
    "  --repeats N        rounds; medians and spread are over them (5)\n"
    "  --quick            two short rounds: a few seconds, rough numbers\n"
    "  --engines LIST     of native, kvm, translator, qemu (all but qemu)\n"
    "  --qemu             also under qemu-system-x86_64 -accel tcg, if it is there\n"
    "  --json             for programs, on standard output\n"
    "  --html FILE        a page with plots that needs nothing else\n"
    "  --time-limit N     seconds for one run (60)\n"
    "\n"
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
  if (!options->machine.empty()) {
    fmt::print(stderr, "emu bench: unknown argument {}; see emu bench --help\n",
               options->machine[0]);
    return 2;
  }
  const Results results = compare_built_in(*options);
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
