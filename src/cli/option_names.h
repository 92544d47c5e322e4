// SPDX-License-Identifier: Apache-2.0
// The spellings of options: every one people know ("-kernel K", "--kernel=K", "-m512") is rewritten
// into "--name=value".
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace emu::cli {

struct OptionName {
  std::string name;                  // the readable long name
  std::vector<std::string> aliases;  // further names, QEMU's and one-letter ones
  bool takes_value = false;
};

// Rewrites arguments (without the program's name): options become "--name" or "--name=value", other
// arguments stay. "@FILE" and "--config FILE" are replaced by the options in that file: one
// "name=value" or "name" a line, '#' starts a comment line. "--" ends the options.
// Errors: unknown option (with the nearest known one), missing or superfluous value, unreadable
// file, files nested deeper than 8.
[[nodiscard]] Result<std::vector<std::string>> normalise_arguments(
    std::span<const std::string> arguments, std::span<const OptionName> names);

// The name in `names` that `word` was probably meant to be, or empty.
[[nodiscard]] std::string nearest_option(std::string_view word, std::span<const OptionName> names);

}  // namespace emu::cli
