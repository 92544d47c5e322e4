// SPDX-License-Identifier: Apache-2.0
// The names of options: one table of the readable long names and of QEMU's, and the rewriting of
// every spelling people know ("-kernel K", "--kernel=K", "-m512") into "--name=value".
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace emu::cli {

struct OptionName {
  std::string_view name;     // the readable long name
  std::string_view aliases;  // further names, separated by spaces
  bool takes_value = false;
};

[[nodiscard]] std::span<const OptionName> option_names();

// Rewrites arguments (without the program's name): options become "--name" or "--name=value", other
// arguments stay. "@FILE" and "--config FILE" are replaced by the options in that file: one
// "name=value" or "name" a line, '#' starts a comment line. "--" ends the options.
// Errors: unknown option (with the nearest known one), missing or superfluous value, unreadable
// file, files nested deeper than 8.
[[nodiscard]] Result<std::vector<std::string>> normalise_arguments(
    std::span<const std::string> arguments);

// The known name that `word` was probably meant to be, or empty.
[[nodiscard]] std::string nearest_option(std::string_view word);

}  // namespace emu::cli
