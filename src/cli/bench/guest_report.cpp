// SPDX-License-Identifier: Apache-2.0
#include "cli/bench/guest_report.h"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <vector>

namespace emu::cli::bench {
namespace {

constexpr std::size_t kLongestLine = 200;

// The hexadecimal numbers after a line's first word; nothing if something else is there.
std::vector<u64> numbers_of(std::string_view line) {
  std::vector<u64> out;
  while (!line.empty()) {
    const auto space = line.find(' ');
    if (space == std::string_view::npos) break;
    line.remove_prefix(space + 1);
    u64 value = 0;
    const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), value, 16);
    if (error != std::errc{}) return {};
    line.remove_prefix(static_cast<std::size_t>(end - line.data()));
    out.push_back(value);
  }
  return out;
}

}  // namespace

void GuestReport::feed(std::span<const u8> bytes, i64 now_ns) {
  if (first_byte_ns_ == 0 && !bytes.empty()) first_byte_ns_ = now_ns;
  now_ns_ = now_ns;
  for (const u8 b : bytes) {
    if (line_.empty()) line_began_ns_ = now_ns;
    if (b == '\n') {
      take_line();
      line_.clear();
    } else if (line_.size() < kLongestLine) {
      line_.push_back(static_cast<char>(b));
    }
  }
}

void GuestReport::take_line() {
  const std::vector<u64> numbers = numbers_of(line_);
  const bool of_work = numbers.size() == 2 && numbers[0] < kWorkCount;
  if (line_ == "bye") finished_ = true;
  if (line_.starts_with("call ") && numbers.size() == 1) without_syscall_ = numbers[0] != 0;
  if (line_ == "B") work_began_ns_ = now_ns_;
  if (line_.starts_with("C ") && of_work) work_[numbers[0]].checksum = numbers[1];
  if (line_.starts_with("E ") && of_work) {
    // Both marks at once: they were held up on the way, and nothing is known.
    const bool timed = work_began_ns_ != 0 && line_began_ns_ > work_began_ns_ && numbers[1] != 0;
    if (timed) {
      work_[numbers[0]].runs = numbers[1];
      work_[numbers[0]].took_ns = line_began_ns_ - work_began_ns_;
    }
    work_began_ns_ = 0;
  }
  if (line_.starts_with("fault ") && numbers.size() >= 3) {
    fault_ = fmt::format("exception {} (error {:#x}) at {:#x}", numbers[0], numbers[1], numbers[2]);
  }
}

}  // namespace emu::cli::bench
