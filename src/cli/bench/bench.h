// SPDX-License-Identifier: Apache-2.0
// `emu bench [disk]`: the same guest under each engine, side by side.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/types.h"

namespace emu::cli::bench {

struct BenchOptions {
  unsigned repeats = 5;
  unsigned work_ms = 60;  // of each measured piece of work
  unsigned limit_s = 0;   // of one run; 0: the usual 60
  bool json = false;
  std::string html;                  // file, or empty
  std::string until;                 // the text that ends a run of a disk; empty: user space's
  bool qemu = false;                 // a column for QEMU's translator
  std::vector<std::string> engines;  // columns wanted; empty: all
  std::vector<std::string> machine;  // options and disks for the machine; empty: our own guest
  bool help = false;

  [[nodiscard]] bool wants(const std::string& column) const;
};

// What is not an option of the comparison belongs to the machine. Errors: one sentence.
[[nodiscard]] Result<BenchOptions> parse_bench_options(std::span<const std::string> arguments);

// Exit status: 0 done, 1 something failed or computed wrong, 2 wrong call.
[[nodiscard]] int run_bench(std::span<const std::string> arguments);

}  // namespace emu::cli::bench
