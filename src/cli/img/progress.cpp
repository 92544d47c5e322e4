// SPDX-License-Identifier: Apache-2.0
// A progress line.
#include "cli/img/progress.h"

#include <fmt/core.h>

#include <cstdio>

namespace emu::cli::img {

Progress::~Progress() {
  if (is_shown_) fmt::print(stderr, "\n");
}

void Progress::advance(u64 n) {
  const u64 done = done_.fetch_add(n) + n;
  if (!is_shown_ || total_ == 0) return;
  const u64 per_mille = done / (total_ / 1000 + 1);
  u64 shown = shown_per_mille_.load();
  if (per_mille <= shown || !shown_per_mille_.compare_exchange_strong(shown, per_mille)) return;
  const double percent = 100.0 * static_cast<double>(done) / static_cast<double>(total_);
  fmt::print(stderr, "\r    ({:.1f}/100%)", percent);
  std::fflush(stderr);
}

}  // namespace emu::cli::img
