// SPDX-License-Identifier: Apache-2.0
// Reads creation options given as text, and refuses those nobody asked for.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/types.h"

namespace emu {

inline constexpr u64 kMaxDiskBytes = u64{1} << 62;

// Ask for every option the format has, then finish(). The first bad value is kept for finish().
class CreateOptionReader {
 public:
  // Both must outlive the reader.
  CreateOptionReader(std::string_view format,
                     const std::vector<std::pair<std::string, std::string>>& options)
      : format_(format), options_(options) {}

  [[nodiscard]] std::string text(std::string_view name, std::string_view otherwise);
  [[nodiscard]] u64 size(std::string_view name, u64 otherwise);
  [[nodiscard]] bool flag(std::string_view name, bool otherwise);
  // Errors: an option that was not asked for, with those that were; a bad value.
  [[nodiscard]] Result<void> finish();

 private:
  std::string_view format_;
  const std::vector<std::pair<std::string, std::string>>& options_;
  std::vector<std::string> known_;
  Result<void> first_error_;
};

}  // namespace emu
