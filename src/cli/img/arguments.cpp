// SPDX-License-Identifier: Apache-2.0
// The command line of `emu img`.
#include "cli/img/arguments.h"

#include <algorithm>

#include "block/create_image.h"

namespace emu::cli::img {
namespace {

// "+10G" and "-10G" are sizes, not options.
bool is_relative_size(const std::string& word) {
  return word.size() > 1 && word[0] == '-' && word[1] >= '0' && word[1] <= '9';
}

}  // namespace

Result<Arguments> Arguments::parse(std::span<const std::string> words,
                                   std::span<const Option> options) {
  Arguments a;
  bool only_files = false;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (only_files || word.size() < 2 || word[0] != '-' || is_relative_size(word)) {
      a.files_.push_back(word);
      continue;
    }
    if (word == "--") {
      only_files = true;
      continue;
    }
    const bool is_long = word[1] == '-';
    const auto equals = is_long ? word.find('=') : std::string::npos;
    const std::string name = is_long ? word.substr(2, equals - 2) : "";
    const auto option = std::find_if(options.begin(), options.end(), [&](const Option& o) {
      return is_long ? o.long_name == name : o.short_name == word[1];
    });
    if (option == options.end()) return fail("unknown option {}; emu img --help lists all", word);
    std::string value;
    if (!option->has_value) {
      if (!is_long && word.size() > 2) {  // -pq: several at once
        std::vector<std::string> split(words.begin(), words.end());
        split[i] = "-" + word.substr(2);
        split.insert(split.begin() + static_cast<std::ptrdiff_t>(i), word.substr(0, 2));
        return parse(split, options);
      }
      if (equals != std::string::npos) return fail("{} takes no value", word.substr(0, equals));
    } else if (equals != std::string::npos) {
      value = word.substr(equals + 1);
    } else if (!is_long && word.size() > 2) {
      value = word.substr(2);
    } else if (i + 1 < words.size()) {
      value = words[++i];
    } else {
      return fail("{} needs a value", word);
    }
    a.in_order_.emplace_back(option->key, value);
    a.values_[std::string(option->key)].push_back(value);
  }
  return a;
}

std::string Arguments::value(std::string_view key, std::string_view otherwise) const {
  const auto it = values_.find(key);
  return it == values_.end() ? std::string(otherwise) : it->second.back();
}

std::vector<std::string> Arguments::all(std::string_view key) const {
  const auto it = values_.find(key);
  return it == values_.end() ? std::vector<std::string>() : it->second;
}

bool Arguments::json() const {
  return has("json") || value("output") == "json";
}

Result<DiskFormat> Arguments::format(std::string_view key) const {
  return has(key) ? parse_format_name(value(key)) : DiskFormat::kAuto;
}

Result<u64> Arguments::size(std::string_view key, u64 otherwise) const {
  return has(key) ? parse_size(value(key)) : otherwise;
}

Result<std::vector<std::pair<std::string, std::string>>> Arguments::key_values(
    std::string_view key) const {
  std::vector<std::pair<std::string, std::string>> pairs;
  const auto it = values_.find(key);
  if (it == values_.end()) return pairs;
  for (const std::string& text : it->second) {
    std::string part;
    for (std::size_t i = 0; i <= text.size(); ++i) {
      if (i + 1 < text.size() && text[i] == ',' && text[i + 1] == ',') {
        part += ',';
        ++i;
      } else if (i == text.size() || text[i] == ',') {
        const auto equals = part.find('=');
        if (part.empty()) continue;
        if (equals == std::string::npos) return fail("\"{}\" should be NAME=VALUE", part);
        pairs.emplace_back(part.substr(0, equals), part.substr(equals + 1));
        part.clear();
      } else {
        part += text[i];
      }
    }
  }
  return pairs;
}

}  // namespace emu::cli::img
