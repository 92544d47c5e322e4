// SPDX-License-Identifier: Apache-2.0
// Reads what the benchmark guest says on its debug port (guest_abi.h) as it says it.
// Threads: one at a time.
#pragma once

#include <array>
#include <span>
#include <string>

#include "base/types.h"
#include "cli/bench/guest_abi.h"

namespace emu::cli::bench {

// What one piece of work came to; `runs` 0: not reported.
struct WorkReport {
  u64 checksum = 0;
  u64 runs = 0;
  i64 took_ns = 0;
  [[nodiscard]] double ns_per_run() const {
    return static_cast<double>(took_ns) / static_cast<double>(runs);
  }
};

class GuestReport {
 public:
  // `now_ns`: when the bytes came, on a clock that does not jump. Takes any bytes.
  void feed(std::span<const u8> bytes, i64 now_ns);

  [[nodiscard]] const std::array<WorkReport, kWorkCount>& work() const { return work_; }
  // When the first byte came; 0: none did.
  [[nodiscard]] i64 first_byte_ns() const { return first_byte_ns_; }
  [[nodiscard]] bool finished() const { return finished_; }
  // Whether system calls were made by UD2, because SYSCALL does not work in ring 3.
  [[nodiscard]] bool without_syscall() const { return without_syscall_; }
  // What the guest said of an exception it did not expect; empty if it met none.
  [[nodiscard]] const std::string& fault() const { return fault_; }

 private:
  void take_line();

  std::array<WorkReport, kWorkCount> work_{};
  std::string line_;
  i64 first_byte_ns_ = 0, line_began_ns_ = 0, now_ns_ = 0, work_began_ns_ = 0;
  bool finished_ = false, without_syscall_ = false;
  std::string fault_;
};

}  // namespace emu::cli::bench
