// SPDX-License-Identifier: Apache-2.0
// The command line as a whole: arguments to MachineConfig, help, and --print-config.
#pragma once

#include <span>
#include <string>

#include "base/result.h"
#include "machine/machine_config.h"

namespace emu::cli {

enum class Action : u8 { kRun, kPrintText };

struct CommandLine {
  Action action = Action::kRun;
  std::string text;  // kPrintText: what --help, --version or --print-config say
  MachineConfig config;
};

// `arguments` without the program's name. Errors are usage errors (exit status 2), one sentence
// each, and name the option.
[[nodiscard]] Result<CommandLine> parse_command_line(std::span<const std::string> arguments);

// The configuration as lines that --config accepts and that give the same configuration again.
[[nodiscard]] std::string print_config(const MachineConfig& config);

}  // namespace emu::cli
