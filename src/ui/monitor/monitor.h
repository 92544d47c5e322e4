// SPDX-License-Identifier: Apache-2.0
// The monitor: one line of words in, an answer out. It knows help and the screen; all else is what
// the machine offers (MachineControl::commands()).
// Threads: execute() from any one thread at a time, without the machine lock.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "machine/control.h"

namespace emu {

class Monitor {
 public:
  // `control` must outlive the monitor.
  explicit Monitor(MachineControl& control) : control_(control) {}

  // Runs one line and returns what to print: lines ending in '\n', or nothing. A mistake is a line
  // that starts with "error: ".
  [[nodiscard]] std::string execute(std::string_view line);

  // The words of a line: blanks separate, "double quotes" keep them together, \" and \\ inside
  // quotes. Errors: a quote that does not end.
  [[nodiscard]] static Result<std::vector<std::string>> split(std::string_view line);

 private:
  [[nodiscard]] Result<std::string> run(std::span<const std::string> words);
  [[nodiscard]] std::string help(std::span<const std::string> words) const;

  MachineControl& control_;
};

}  // namespace emu
