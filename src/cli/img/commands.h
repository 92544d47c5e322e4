// SPDX-License-Identifier: Apache-2.0
// The subcommands of `emu img`, one file each. Each takes the words behind its name and returns
// the exit code: 0, or where the comment says so another answer; errors are sentences.
#pragma once

#include <span>
#include <string>

#include "base/result.h"

namespace emu::cli::img {

using Words = std::span<const std::string>;

Result<int> bench(Words words);
Result<int> bitmap(Words words);
// 2: the image is damaged; 3: it only has leaked clusters.
Result<int> check(Words words);
Result<int> commit(Words words);
// 1: the contents differ.
Result<int> compare(Words words);
Result<int> convert(Words words);
Result<int> create(Words words);
Result<int> info(Words words);
Result<int> map(Words words);
Result<int> measure(Words words);
Result<int> rebase(Words words);
Result<int> resize(Words words);
Result<int> snapshot(Words words);

// `emu img WORDS...`: the process's exit code.
int run_img(Words words);

}  // namespace emu::cli::img
