// SPDX-License-Identifier: Apache-2.0
// `emu img`: work on disk images, with qemu-img's names.
#include <fmt/core.h>

#include <array>
#include <cstdio>

#include "cli/img/commands.h"

namespace emu::cli::img {
namespace {

constexpr int kFailed = 1;

struct Command {
  std::string_view name;
  Result<int> (*run)(Words);
  std::string_view usage;
  std::string_view does;
};

constexpr std::array<Command, 13> kCommands{{
    {"bench", bench, "[-f FMT] [-c COUNT] [-s SIZE] [-d DEPTH] [-w] FILE",
     "times requests to an image"},
    {"bitmap", bitmap,
     "[--add [-g SIZE] | --remove | --clear | --enable | --disable | --merge NAME]... "
     "[-b FILE [-F FMT]] [-f FMT] FILE NAME",
     "changes a record of what was written (qcow2)"},
    {"check", check, "[-f FMT] [-r leaks|all] [-q] FILE", "looks for damage, and repairs it"},
    {"commit", commit, "[-f FMT] [-d] [-q] FILE", "moves an overlay's data into its backing file"},
    {"compare", compare, "[-f FMT] [-F FMT] [-s] [-q] FILE1 FILE2", "compares two disks"},
    {"convert", convert,
     "[-f FMT] [-O FMT] [-o OPTS] [-B FILE [-F FMT]] [-c] [-p] [-n] [-S SIZE] [-l SNAPSHOT] "
     "[-m THREADS] FROM... TO",
     "copies a disk into another format"},
    {"create", create, "[-f FMT] [-b FILE [-F FMT]] [-u] [-o OPTS] [-q] FILE [SIZE]",
     "makes an image"},
    {"info", info, "[-f FMT] [--backing-chain] FILE", "tells what an image is"},
    {"map", map, "[-f FMT] FILE", "lists what is stored where"},
    {"measure", measure, "[-f FMT] [-O FMT] [-o OPTS] --size SIZE | FILE",
     "tells how large a converted image would be"},
    {"rebase", rebase, "[-f FMT] [-u] -b FILE [-F FMT] [-p] FILE", "changes the backing file"},
    {"resize", resize, "[-f FMT] [--shrink] [-q] FILE [+|-]SIZE", "changes the disk's size"},
    {"snapshot", snapshot, "[-l | -a NAME | -c NAME | -d NAME] FILE",
     "lists, applies, makes or deletes internal snapshots"},
}};

void print_help() {
  fmt::print("emu img: work on disk images (option names are qemu-img's)\n\n");
  for (const Command& c : kCommands)
    fmt::print("  emu img {} {}\n      {}\n", c.name, c.usage, c.does);
  fmt::print("\nAll commands that tell something also take --json. Sizes: 20G, 512M, 4096.\n");
}

}  // namespace

int run_img(Words words) {
  if (words.empty() || words[0] == "--help" || words[0] == "-h" || words[0] == "help") {
    print_help();
    return words.empty() ? kFailed : 0;
  }
  for (const Command& c : kCommands) {
    if (words[0] != c.name) continue;
    for (const std::string& word : words) {
      if (word != "--help") continue;
      fmt::print("emu img {} {}\n{}\n", c.name, c.usage, c.does);
      return 0;
    }
    const auto status = c.run(words.subspan(1));
    if (status) return *status;
    fmt::print(stderr, "emu img {}: {}\n", c.name, status.error().message);
    return kFailed;
  }
  fmt::print(stderr, "emu img: there is no command {}; emu img --help lists all\n", words[0]);
  return kFailed;
}

}  // namespace emu::cli::img
