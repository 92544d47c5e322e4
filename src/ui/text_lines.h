// SPDX-License-Identifier: Apache-2.0
// The last lines of a stream of text, as a simple terminal would show them: new lines, returns,
// backspaces and tabs count, escape sequences are left out.
#pragma once

#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "base/types.h"

namespace emu {

class TextLines {
 public:
  static constexpr std::size_t kMostLines = 500, kMostColumns = 160;

  void add(std::string_view text);
  // The last `count` lines, oldest first, without an empty one at the end.
  [[nodiscard]] std::vector<std::string> last(std::size_t count) const;
  // Grows with every add().
  [[nodiscard]] u64 changes() const { return changes_; }

 private:
  enum class Escape : u8 { kNone, kSeen, kSequence };
  void put(char c);

  std::deque<std::string> lines_{std::string()};
  std::size_t column_ = 0;
  Escape escape_ = Escape::kNone;
  u64 changes_ = 0;
};

}  // namespace emu
