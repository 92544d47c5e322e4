// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"

#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "base/check.h"
#include "base/result.h"

namespace emu {
namespace {

// The level belongs to the process's one standard error, not to a machine.
std::atomic<LogLevel> log_level{LogLevel::kWarning};

}  // namespace

void set_log_level(LogLevel level) {
  log_level.store(level, std::memory_order_relaxed);
}

bool log_enabled(LogLevel level) {
  return level <= log_level.load(std::memory_order_relaxed);
}

void log_text(LogLevel level, std::string_view room, std::string_view text) {
  if (!log_enabled(level)) return;
  const std::string line = fmt::format("emu: {}: {}\n", room, text);
  // A diagnostic that cannot be written has nowhere else to go.
  [[maybe_unused]] const auto written = ::write(STDERR_FILENO, line.data(), line.size());
}

void check_failed(const char* file, int line, const char* condition) noexcept {
  log_text(LogLevel::kError, "bug", fmt::format("{}:{}: check failed: {}", file, line, condition));
  std::abort();
}

Error fail_errno_text(int code, std::string message) {
  message += ": ";
  message += std::strerror(code);
  return Error{code, std::move(message)};
}

}  // namespace emu
