// SPDX-License-Identifier: Apache-2.0
// How far a guest has come, told by texts on its serial port, debug port and screen.
// Threads: one at a time.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/types.h"

namespace emu::cli::bench {

class BootMarks {
 public:
  // `until`: the text that means user space; empty: what usual systems print. Times are
  // nanoseconds since the start.
  explicit BootMarks(std::string until);

  // More bytes of a stream; `source` tells streams apart.
  void more(const std::string& source, std::string_view bytes, i64 now_ns);
  // What is on the screen now.
  void screen(std::string_view text, i64 now_ns);

  // "first-output", "firmware", "kernel", "user-space": when each was first seen.
  [[nodiscard]] const std::map<std::string, i64>& seen() const { return seen_; }
  [[nodiscard]] bool finished() const { return seen_.contains("user-space"); }

 private:
  struct Sign {
    const char* mark;
    std::string text;
  };
  void look(std::string_view text, i64 now_ns);
  void note(const char* mark, i64 now_ns) { seen_.emplace(mark, now_ns); }

  std::vector<Sign> signs_;
  std::map<std::string, std::string> tails_;  // the last bytes of each stream
  std::map<std::string, i64> seen_;
};

}  // namespace emu::cli::bench
