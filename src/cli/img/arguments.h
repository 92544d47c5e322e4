// SPDX-License-Identifier: Apache-2.0
// The command line of `emu img`: qemu-img's option names, short and long, read by table.
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "block/probe.h"

namespace emu::cli::img {

// One option of a subcommand. `key` is how the code asks for it.
struct Option {
  char short_name;             // 0: none
  std::string_view long_name;  // empty: none
  bool has_value;
  std::string_view key;
};

class Arguments {
 public:
  // Errors: an unknown option, a missing value.
  [[nodiscard]] static Result<Arguments> parse(std::span<const std::string> words,
                                               std::span<const Option> options);
  [[nodiscard]] bool has(std::string_view key) const { return values_.contains(key); }
  // The last value given, or `otherwise`.
  [[nodiscard]] std::string value(std::string_view key, std::string_view otherwise = "") const;
  // Every value given.
  [[nodiscard]] std::vector<std::string> all(std::string_view key) const;
  // Every option given, in order, with its value.
  [[nodiscard]] const std::vector<std::pair<std::string, std::string>>& in_order() const {
    return in_order_;
  }
  [[nodiscard]] const std::vector<std::string>& files() const { return files_; }
  // Whether JSON was asked for: --json, or --output=json.
  [[nodiscard]] bool json() const;
  // The format named by this option; kAuto if it was not given. Errors: an unknown name.
  [[nodiscard]] Result<DiskFormat> format(std::string_view key) const;
  // A number option in bytes. Errors: not a size.
  [[nodiscard]] Result<u64> size(std::string_view key, u64 otherwise) const;
  // All `-o a=b,c=d`, in order; a doubled comma stands for one. Errors: no '='.
  [[nodiscard]] Result<std::vector<std::pair<std::string, std::string>>> key_values(
      std::string_view key) const;

 private:
  std::map<std::string, std::vector<std::string>, std::less<>> values_;
  std::vector<std::pair<std::string, std::string>> in_order_;
  std::vector<std::string> files_;
};

}  // namespace emu::cli::img
