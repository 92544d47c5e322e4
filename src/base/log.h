// SPDX-License-Identifier: Apache-2.0
// The process's diagnostic stream (standard error), with a level and a rate limit.
#pragma once

#include <fmt/core.h>

#include <string_view>

#include "base/types.h"

namespace emu {

enum class LogLevel : u8 { kError, kWarning, kInfo, kDebug };

// Which lines are printed; kWarning until told otherwise. Safe from any thread.
void set_log_level(LogLevel level);
[[nodiscard]] bool log_enabled(LogLevel level);

// Writes "emu: room: text\n" to standard error in one write(2). Safe from any thread.
void log_text(LogLevel level, std::string_view room, std::string_view text);

// `log(LogLevel::kWarning, "ide", "bad command {:#x}", c)`; arguments are formatted only if
// printed.
template <class... A>
void log(LogLevel level, std::string_view room, fmt::format_string<A...> format, A&&... a) {
  if (log_enabled(level)) log_text(level, room, fmt::format(format, std::forward<A>(a)...));
}

// Lets the first `burst` events pass and then none: what a guest repeats must not fill a disk.
class RateLimit {
 public:
  explicit RateLimit(u32 burst = 10) : left_(burst) {}
  [[nodiscard]] bool pass() { return left_ != 0 && left_-- != 0; }

 private:
  u32 left_;
};

}  // namespace emu
