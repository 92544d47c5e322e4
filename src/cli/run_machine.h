// SPDX-License-Identifier: Apache-2.0
// The program: arguments in, exit status out.
#pragma once

#include <span>
#include <string>

namespace emu::cli {

// 0: the guest powered off, or text was printed; 1: the machine could not be started or failed;
// 2: wrong call; otherwise the guest's debug-exit value.
[[nodiscard]] int run_program(std::span<const std::string> arguments);

}  // namespace emu::cli
