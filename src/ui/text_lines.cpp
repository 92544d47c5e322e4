// SPDX-License-Identifier: Apache-2.0
#include "ui/text_lines.h"

#include <algorithm>

namespace emu {

void TextLines::add(std::string_view text) {
  ++changes_;
  for (const char c : text) put(c);
}

void TextLines::put(char c) {
  if (escape_ == Escape::kSeen) {
    escape_ = c == '[' ? Escape::kSequence : Escape::kNone;
    return;
  }
  if (escape_ == Escape::kSequence) {
    if (c >= '@' && c <= '~') escape_ = Escape::kNone;
    return;
  }
  std::string& line = lines_.back();
  switch (c) {
    case '\x1b':
      escape_ = Escape::kSeen;
      return;
    case '\n':
      lines_.emplace_back();
      if (lines_.size() > kMostLines) lines_.pop_front();
      column_ = 0;
      return;
    case '\r':
      column_ = 0;
      return;
    case '\b':
      if (column_ != 0) --column_;
      return;
    case '\t':
      do put(' ');
      while (column_ % 8 != 0 && column_ < kMostColumns);
      return;
    default:
      break;
  }
  if (c < ' ' || c > '~') return;
  if (column_ >= kMostColumns) {
    put('\n');
    return put(c);
  }
  line.resize(std::max(line.size(), column_ + 1), ' ');
  line[column_++] = c;
}

std::vector<std::string> TextLines::last(std::size_t count) const {
  const std::size_t end = lines_.size() - (lines_.size() > 1 && lines_.back().empty() ? 1 : 0);
  const std::size_t first = end - std::min(count, end);
  return {lines_.begin() + static_cast<std::ptrdiff_t>(first),
          lines_.begin() + static_cast<std::ptrdiff_t>(end)};
}

}  // namespace emu
