// SPDX-License-Identifier: Apache-2.0
// emu: a PC emulator.
#include <string>
#include <vector>

#include "cli/run_machine.h"

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  return emu::cli::run_program(arguments);
}
